"""What the tasks' metrics and constant predictors make of counts."""

import dataclasses
from collections.abc import Callable

import numpy as np

from mtljax.tasks.task import Metric, Sums

NOT_FINITE = "not_finite"  # of a task's sums: how many judged predictions are no numbers


def ratio(key: str, over: str) -> Callable[[Sums], float]:
    """A metric's value: one sum divided by another, NaN where that is 0."""
    return lambda sums: float(sums[key] / sums[over]) if sums[over] > 0 else float("nan")


def of_numbers(*metrics: Metric) -> tuple[Metric, ...]:
    """The metrics, each NaN where any judged prediction is no number: comparisons with NaN would pass for right.

    Example:
        >>> (share,) = of_numbers(Metric("share", True, ratio("right", over="all")))
        >>> share.value({"right": 3, "all": 4, "not_finite": 0}), share.value({"right": 3, "all": 4, "not_finite": 1})
        (0.75, nan)
    """

    def told(value: Callable[[Sums], float]) -> Callable[[Sums], float]:
        return lambda sums: float("nan") if sums[NOT_FINITE] > 0 else value(sums)

    return tuple(dataclasses.replace(metric, value=told(metric.value)) for metric in metrics)


def log_shares(classes: np.ndarray, num_classes: int) -> np.ndarray:
    """The logits of how often each class comes, (num_classes,) float32: the constant of least cross-entropy."""
    counts = np.bincount(classes, minlength=num_classes) + 1e-3
    return np.log(counts / counts.sum()).astype(np.float32)
