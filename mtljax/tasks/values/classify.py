"""Classification of whole images or feature vectors."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mtljax.errors import UserError, unknown
from mtljax.models import heads
from mtljax.tasks.labels import check_class_ids, fits
from mtljax.tasks.losses.masked import number
from mtljax.tasks.metrics import unclassed
from mtljax.tasks.metrics.counts import log_shares, ratio
from mtljax.tasks.metrics.not_finite import NOT_FINITE, no_best, of_numbers
from mtljax.tasks.metrics.ranking import area_under_curve, rank_of, score_counts
from mtljax.tasks.task import Batch, Metric, Task


def classify(num_classes: int, label: str, name: str = "classify", head: Any = None, primary: str = "accuracy") -> Task:
    """One class an example: cross-entropy over examples; accuracy, in the best five of many classes, AUC of two.

    Args:
        num_classes: C.
        label: batch key of the class ids, (B,) integers. -1 is no class; other ids outside [0, C) count for nothing
            either, but their share is a figure, `unclassed`, and more than 1 % of them an error at the start.
        name: of the task.
        head: features -> logits (B, C); default `heads.Linear(num_classes)`.
        primary: the metric to be judged by: `accuracy`; `top5` of more than 10 classes; or `AUC` of two, the area
            under the receiver operating characteristic for class 1, of scores rounded to float16.

    Returns:
        The task.

    Raises:
        ValueError: for fewer than 2 classes, or a primary metric that there is not.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> task = mtl.tasks.classify(num_classes=2, label="digit")
        >>> batch = {"digit": jnp.array([0, 1, 1]), "digit_valid": jnp.array([True, True, False])}
        >>> total, count = task.loss(jnp.zeros((3, 2)), batch)
        >>> print(total.round(4), count)
        1.3863 2.0
    """
    if num_classes < 2:
        raise ValueError(f"classify(num_classes={num_classes}): expected at least 2.")
    metrics = _metrics(num_classes)
    if primary not in metrics:
        raise unknown(f"primary metric of classify(num_classes={num_classes}):", primary, metrics)

    def known(batch: Batch) -> tuple[jax.Array, jax.Array]:
        return _known(batch, label, num_classes)

    def loss(prediction: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        classes, valid = known(batch)
        fits(prediction, (*classes.shape, 1), label, num_classes)
        logits = jnp.where(valid[:, None], prediction.astype(jnp.float32), 0.0)
        entropy = optax.softmax_cross_entropy_with_integer_labels(logits, classes)
        return jnp.sum(jnp.where(valid, entropy, 0.0)), number(valid)

    def sums(prediction: jax.Array, batch: Batch) -> dict[str, jax.Array]:
        classes, valid = known(batch)
        fits(prediction, (*classes.shape, 1), label, num_classes)
        rank = rank_of(classes, prediction)
        counts = {
            **{f"top{k}": jnp.sum(valid & (rank < k), dtype=jnp.int32) for k in (1, 5)},
            "examples": jnp.sum(valid, dtype=jnp.int32),
            NOT_FINITE: no_best(prediction, valid),
            **unclassed.counts(*_ids(batch, label), num_classes, unclassed.NOWHERE),
        }
        if num_classes == 2:
            counts["scores"] = score_counts(prediction[:, 1] - prediction[:, 0], classes == 1, valid)
        return counts

    def constant(labels: Batch) -> np.ndarray:
        classes, valid = map(np.asarray, known(labels))
        return log_shares(classes[valid], num_classes)

    return Task(
        name=name,
        head=head or heads.Linear(num_classes),
        labels=(label,),
        loss=loss,
        metrics=tuple(sorted(metrics.values(), key=lambda metric: metric.name != primary)),
        sums=sums,
        constant=constant,
        draw=None,
        kind="classes",
        told=(unclassed.UNCLASSED,),
        check=lambda labels: unclassed.check(labels, label, num_classes) or _from_one(labels, label, num_classes),
    )


def _from_one(labels: Batch, label: str, num_classes: int) -> str:
    """What there is to tell of ids that are one less than they should be, so that the first class counts as none."""
    ids, valid = map(np.asarray, _ids(labels, label))
    none = ids == unclassed.NOWHERE
    if not none.any() or np.unique(ids[valid & ~none]).tolist() != list(range(num_classes - 1)):
        return ""
    return (
        f"{100 * none.mean():.2g} % of the labels {label!r} are {unclassed.NOWHERE}, "
        f"which stands for no class, and none are {num_classes - 1}: are all ids one too small?"
    )


def _known(batch: Batch, label: str, num_classes: int) -> tuple[jax.Array, jax.Array]:
    """The true classes, 0 where there is none, and where there is one: (B,) each."""
    classes, valid = _ids(batch, label)
    valid = valid & (classes >= 0) & (classes < num_classes)
    return jnp.where(valid, classes, 0), valid


def _ids(batch: Batch, label: str) -> tuple[jax.Array, jax.Array]:
    """A class an example and its mask, (B,) each."""
    classes, valid = jnp.asarray(batch[label]), jnp.asarray(batch[f"{label}_valid"], bool)
    for key, found in ((label, classes), (f"{label}_valid", valid)):
        if found.ndim != 1 or len(found) != len(classes):
            raise UserError(f"label {key} has shape {found.shape}; expected (B,): one class an example.")
    check_class_ids(classes, label)
    return classes, valid


def _metrics(num_classes: int) -> dict[str, Metric]:
    found = [Metric("accuracy", True, ratio("top1", over="examples"))]
    if num_classes > 10:
        found.append(Metric("top5", True, ratio("top5", over="examples")))
    if num_classes == 2:
        found.append(Metric("AUC", True, area_under_curve))
    return {metric.name: metric for metric in of_numbers(*found)}
