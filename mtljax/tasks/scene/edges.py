"""Edges."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mtljax.models import heads
from mtljax.tasks.labels import fits, labels_of
from mtljax.tasks.losses.masked import image_means, total_and_count, where_valid
from mtljax.tasks.metrics.boundaries import average_precision, boundary_sums, ods, ois
from mtljax.tasks.metrics.not_finite import NOT_FINITE, of_numbers
from mtljax.tasks.task import Batch, Metric, Task


def edges(head: Any = None, name: str = "edges", label: str = "edge", width: int = 64) -> Task:
    """Edges: class-balanced binary cross-entropy on logits, one mean an image (HED, Xie & Tu 2015, eq. 2).

    An edge pixel weighs `|neg|/|all|` of its image, another `|pos|/|all|`. Metrics (Martin et al. 2004): ODS-F at the
    best threshold of counts summed over the set, OIS-F with each image's own best threshold, and AP, the area under
    precision over recall. Predictions and labels are thinned alike, to lines one pixel wide, and matched one to one
    within 0.0075 of the diagonal, at 99 thresholds, on the host. Most labels mark both sides of a boundary and are two
    pixels wide: figures of before labels were thinned are lower, and on another scale.

    Args:
        head: features -> logits (B, s, H, W, 1); default `heads.Dense(1, width)`.
        name: of the task.
        label: batch key, (B, s, H, W, 1), 1 on an edge, else 0.
        width: of the default head.

    Returns:
        The task; its primary metric is ODS_F.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> task = mtl.tasks.edges()
        >>> batch = {"edge": jnp.array([[[[[1], [0], [0], [0]]]]]), "edge_valid": jnp.ones((1, 1, 1, 4, 1), bool)}
        >>> total, count = task.loss(jnp.zeros((1, 1, 1, 4, 1)), batch)
        >>> print(total.round(4), count)  # log(2) (3/4 + 3 . 1/4) / 4
        0.2599 1.0
    """

    def loss(prediction: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        truth, valid = labels_of(batch, label)
        fits(prediction, truth, label, 1)
        truth = (truth > 0).astype(jnp.float32)
        share, has_any = image_means(truth, valid)
        share = share[..., None, None, None]
        entropy = optax.sigmoid_binary_cross_entropy(where_valid(prediction, valid), truth)
        weighted = entropy * jnp.where(truth > 0, 1 - share, share)
        return total_and_count(image_means(weighted, valid)[0], has_any)

    def host_sums(prediction: np.ndarray, batch: Batch) -> dict[str, np.ndarray]:
        fits(prediction, batch[label], label, 1)
        truth, valid = np.asarray(batch[label])[..., 0] > 0, np.asarray(batch[f"{label}_valid"], bool)[..., 0]
        logits = np.asarray(prediction, np.float64)[..., 0]
        numbers = np.isfinite(logits)
        # Predictions that are not valid are no edges.
        probability = _sigmoid(np.where(valid & numbers, logits, -np.inf))
        found = boundary_sums(*(x.reshape(-1, *x.shape[-2:]) for x in (probability, truth & valid, valid)))
        return found | {NOT_FINITE: np.asarray((valid & ~numbers).sum())}

    def constant(labels: Batch) -> np.ndarray:
        truth, valid = np.asarray(labels[label]) > 0, np.asarray(labels[f"{label}_valid"], bool)
        share = np.clip(truth[valid].mean() if valid.any() else 0.5, 1e-4, 1 - 1e-4)
        return np.array([np.log(share / (1 - share))], np.float32)

    def draw(prediction: np.ndarray, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        probability = _sigmoid(np.nan_to_num(np.asarray(prediction, np.float32), nan=-np.inf, neginf=-np.inf))
        truth, valid = np.asarray(batch[label]) > 0, np.asarray(batch[f"{label}_valid"])
        label_grey = np.where(valid, np.where(truth, 255, 40), 0)
        found, label_rgb = (np.repeat(grey.astype(np.uint8), 3, axis=-1) for grey in (255 * probability, label_grey))
        return found, label_rgb

    return Task(
        name=name,
        head=head or heads.Dense(1, width=width),
        labels=(label,),
        loss=loss,
        metrics=of_numbers(
            Metric("ODS_F", True, ods), Metric("OIS_F", True, ois), Metric("AP", True, average_precision)
        ),
        sums=lambda prediction, batch: {},
        host_sums=host_sums,
        one_by_one=True,
        constant=constant,
        draw=draw,
        kind="probability",
    )


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    """0 for minus infinity, so that what is none is below every threshold."""
    return np.where(logits == -np.inf, 0.0, 1 / (1 + np.exp(-np.clip(logits, -60, 60))))
