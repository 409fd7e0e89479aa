"""Semantic segmentation."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mtljax.models import heads
from mtljax.tasks.drawing.colours import palette
from mtljax.tasks.labels import check_class_ids, fits, labels_of
from mtljax.tasks.losses.masked import number, where_valid
from mtljax.tasks.metrics import unclassed
from mtljax.tasks.metrics.confusion import confusion, mean_iou, pixel_accuracy
from mtljax.tasks.metrics.counts import log_shares
from mtljax.tasks.metrics.not_finite import NOT_FINITE, no_best, of_numbers
from mtljax.tasks.task import Batch, Metric, Task


def segment(
    num_classes: int,
    head: Any = None,
    name: str = "segment",
    label: str = "semantic",
    ignore: int = 255,
    width: int = 64,
) -> Task:
    """Classifies every pixel: cross-entropy over pixels; mIoU and pixel accuracy from one confusion matrix.

    mIoU is the mean over classes present in the union of truth and prediction. A pixel labelled `ignore` or -1 has no
    class. Other ids beyond the classes count for nothing either, but their share of the labelled pixels is a figure,
    `unclassed`, and more than 1 % of them an error at the start of a run.

    Args:
        num_classes: C.
        head: features -> logits (B, s, H, W, C); default `heads.Dense(num_classes, width)`.
        name: of the task.
        label: batch key of the class ids, (B, s, H, W, 1) integers.
        ignore: class id without meaning.
        width: of the default head.

    Returns:
        The task; its primary metric is mIoU.

    Raises:
        ValueError: for fewer than 2 classes.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> task = mtl.tasks.segment(num_classes=3)
        >>> batch = {"semantic": jnp.array([[[[[0], [2]]]]]), "semantic_valid": jnp.ones((1, 1, 1, 2, 1), bool)}
        >>> total, count = task.loss(jnp.zeros((1, 1, 1, 2, 3)), batch)
        >>> print(total.round(4), count)
        2.1972 2.0
    """
    if num_classes < 2:
        raise ValueError(f"segment(num_classes={num_classes}): expected at least 2.")

    def known(batch: Batch) -> tuple[jax.Array, jax.Array]:
        return _known(batch, label, num_classes, ignore)

    def loss(prediction: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        classes, valid = known(batch)
        fits(prediction, (*classes.shape, 1), label, num_classes)
        logits = where_valid(prediction, valid[..., None])
        entropy = optax.softmax_cross_entropy_with_integer_labels(logits, classes)
        return jnp.sum(jnp.where(valid, entropy, 0.0)), number(valid)

    def sums(prediction: jax.Array, batch: Batch) -> dict[str, jax.Array]:
        classes, valid = known(batch)
        fits(prediction, (*classes.shape, 1), label, num_classes)
        counts = unclassed.counts(*labels_of(batch, label), num_classes, ignore)
        matrix = confusion(prediction, classes, valid, num_classes)
        return {"confusion": matrix, NOT_FINITE: no_best(prediction, valid), **counts}

    def constant(labels: Batch) -> np.ndarray:
        classes, valid = map(np.asarray, known(labels))
        return log_shares(classes[valid], num_classes)

    def draw(prediction: np.ndarray, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        classes, valid = map(np.asarray, known(batch))
        colours = palette(num_classes)
        return colours[np.argmax(prediction, axis=-1)], np.where(valid[..., None], colours[classes], 0).astype(np.uint8)

    return Task(
        name=name,
        head=head or heads.Dense(num_classes, width=width),
        labels=(label,),
        loss=loss,
        metrics=of_numbers(Metric("mIoU", True, mean_iou), Metric("pixel_accuracy", True, pixel_accuracy)),
        sums=sums,
        constant=constant,
        draw=draw,
        kind="classes",
        told=(unclassed.UNCLASSED,),
        check=lambda labels: unclassed.check(labels, label, num_classes, ignore),
    )


def _known(batch: Batch, label: str, num_classes: int, ignore: int) -> tuple[jax.Array, jax.Array]:
    """The true classes (...) int32, 0 where there is none, and where there is one, (...) bool."""
    classes, valid = labels_of(batch, label)
    check_class_ids(classes, label)
    valid = (valid & (classes != ignore) & (classes >= 0) & (classes < num_classes))[..., 0]
    return jnp.where(valid, classes[..., 0], 0).astype(jnp.int32), valid
