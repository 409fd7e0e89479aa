"""The confusion matrix of predicted and true classes, which adds over batches and devices, and its figures."""

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.tasks.task import Sums


def confusion(logits: jax.Array, classes: jax.Array, valid: jax.Array, num_classes: int) -> jax.Array:
    """How often each class was taken for each.

    Args:
        logits: (..., C).
        classes: (...) integers in [0, C), the truth.
        valid: (...) bool, those that count.
        num_classes: C.

    Returns:
        (C, C) int32; rows are the truth.
    """
    cells = classes * num_classes + jnp.argmax(logits, axis=-1)
    counts = jnp.zeros(num_classes**2, jnp.int32).at[cells.reshape(-1)].add(valid.reshape(-1))
    return counts.reshape(num_classes, num_classes)


def mean_iou(sums: Sums) -> float:
    """Mean intersection over union, over classes present in the union; rows of `confusion` are the truth."""
    confusion = np.asarray(sums["confusion"], np.float64)
    hit = np.diagonal(confusion)
    union = confusion.sum(0) + confusion.sum(1) - hit
    return float(np.mean(hit[union > 0] / union[union > 0])) if (union > 0).any() else float("nan")


def pixel_accuracy(sums: Sums) -> float:
    """The share of pixels with the right class."""
    confusion = np.asarray(sums["confusion"], np.float64)
    return float(np.trace(confusion) / confusion.sum()) if confusion.sum() else float("nan")
