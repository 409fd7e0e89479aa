"""What the tasks' metrics and constant predictors make of counts."""

from collections.abc import Callable

import numpy as np

from mtljax.tasks.task import Sums


def ratio(key: str, over: str) -> Callable[[Sums], float]:
    """A metric's value: one sum divided by another, NaN where that is 0."""
    return lambda sums: float(sums[key] / sums[over]) if sums[over] > 0 else float("nan")


def log_shares(classes: np.ndarray, num_classes: int) -> np.ndarray:
    """The logits of how often each class comes, (num_classes,) float32: the constant of least cross-entropy."""
    counts = np.bincount(classes, minlength=num_classes) + 1e-3
    return np.log(counts / counts.sum()).astype(np.float32)
