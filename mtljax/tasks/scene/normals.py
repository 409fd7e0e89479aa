"""Surface normals."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.models import heads
from mtljax.tasks.drawing.colours import normal_colours
from mtljax.tasks.labels import fits, labels_of
from mtljax.tasks.losses.masked import number, where_valid
from mtljax.tasks.losses.vectors import degrees, unit
from mtljax.tasks.metrics.counts import ratio
from mtljax.tasks.metrics.histogram import histogram, quantile
from mtljax.tasks.metrics.not_finite import NOT_FINITE, not_finite, of_numbers
from mtljax.tasks.task import Batch, Metric, Sums, Task

_BIN = 0.05  # degrees
_BINS = round(180 / _BIN)
_THRESHOLDS = (11.25, 22.5, 30.0)


def normals(head: Any = None, name: str = "normals", label: str = "normal", width: int = 64) -> Task:
    """Surface normals, unit vectors in the camera frame: loss 1 - p . g, over pixels.

    Metrics pool pixels over the set: the mean and the median angle in degrees (the median from a histogram of 0.05
    degree bins, which adds over batches and devices) and the shares within 11.25, 22.5 and 30 degrees. The constant
    predictor is the mean direction.

    Args:
        head: features -> (B, s, H, W, 3), of any length: it is normalised; default `heads.Dense(3, width)`.
        name: of the task.
        label: batch key, (B, s, H, W, 3) float unit vectors.
        width: of the default head.

    Returns:
        The task; its primary metric is the mean angle.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> task = mtl.tasks.normals()
        >>> up = jnp.array([0.0, -1.0, 0.0]) * jnp.ones((1, 1, 2, 2, 3))
        >>> batch = {"normal": up, "normal_valid": jnp.ones((1, 1, 2, 2, 1), bool)}
        >>> total, count = task.loss(-up, batch)
        >>> print(total, count)
        8.0 4.0
    """

    def cosine(prediction: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        truth, valid = _known(prediction, batch, label)
        p = unit(where_valid(prediction, valid, 1.0))
        return jnp.sum(p * truth.astype(jnp.float32), axis=-1), valid[..., 0]

    def loss(prediction: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        cosines, valid = cosine(prediction, batch)
        return jnp.sum(jnp.where(valid, 1 - cosines, 0.0)), number(valid)

    def sums(prediction: jax.Array, batch: Batch) -> dict[str, jax.Array]:
        truth, valid = _known(prediction, batch, label)
        angle = degrees(where_valid(prediction, valid, 1.0), truth.astype(jnp.float32)).reshape(-1)
        counted = valid.reshape(-1)
        within = {f"within_{t}": jnp.sum(counted & (angle < t), dtype=jnp.int32) for t in _THRESHOLDS}
        return {
            "angle": jnp.sum(jnp.where(counted, angle, 0.0)),
            "histogram": histogram(angle / _BIN, counted, _BINS),
            "pixels": jnp.sum(counted, dtype=jnp.int32),
            NOT_FINITE: not_finite(prediction, valid),
            **within,
        }

    def constant(labels: Batch) -> np.ndarray:
        truth, valid = np.asarray(labels[label]), np.asarray(labels[f"{label}_valid"], bool)
        mean = np.sum(np.where(valid, truth, 0.0), axis=tuple(range(truth.ndim - 1)))
        length = np.linalg.norm(mean)
        return (mean / length if length > 0 else np.array([0.0, 0.0, -1.0])).astype(np.float32)

    def draw(prediction: np.ndarray, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        truth, valid = np.asarray(batch[label]), np.asarray(batch[f"{label}_valid"])
        label_rgb = np.where(valid, normal_colours(truth), 0).astype(np.uint8)
        return normal_colours(np.asarray(prediction)), label_rgb

    mean = Metric("mean_angle", False, ratio("angle", over="pixels"))
    shares = tuple(Metric(f"within_{t}", True, ratio(f"within_{t}", over="pixels")) for t in _THRESHOLDS)
    return Task(
        name=name,
        head=head or heads.Dense(3, width=width, output=unit),
        labels=(label,),
        loss=loss,
        metrics=of_numbers(mean, Metric("median_angle", False, _median), *shares),
        sums=sums,
        constant=constant,
        draw=draw,
        kind="directions",
    )


def _known(prediction: jax.Array, batch: Batch, label: str) -> tuple[jax.Array, jax.Array]:
    """The true normals (..., 3) and their mask (..., 1), where the prediction is one of them."""
    truth, valid = labels_of(batch, label, channels=3)
    fits(prediction, truth, label, 3)
    return truth, valid


def _median(sums: Sums) -> float:
    return quantile(sums["histogram"], 0.5) * _BIN
