"""Figures of boundaries (Martin et al. 2004) from counts of matches at every threshold, on the host."""

from typing import Any

import numpy as np

from mtljax.tasks.metrics.edge_matching import count_matches
from mtljax.tasks.metrics.thinning import THRESHOLDS, thin
from mtljax.tasks.task import Sums

_MAX_DISTANCE = 0.0075  # of the image's diagonal


def boundary_sums(probability: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
    """Counts over a stack of images (N, H, W), at every threshold and at each image's best one."""
    thinned, truth = np.where(valid, thin(probability), 0.0), thin(truth.astype(np.float64)) > 0
    radius = _MAX_DISTANCE * float(np.hypot(*truth.shape[1:]))
    added = {key: np.zeros(len(THRESHOLDS)) for key in ("matched", "predicted")}
    best = {"best_matched": 0.0, "best_predicted": 0.0}
    for image in np.nonzero(valid.any(axis=(1, 2)))[0]:
        matched, predicted = count_matches(thinned[image], truth[image], radius)
        added["matched"] += matched
        added["predicted"] += predicted
        at = np.argmax(_f_measure(matched, predicted, truth[image].sum()))
        best["best_matched"] += matched[at]
        best["best_predicted"] += predicted[at]
    return {**added, **{k: np.asarray(v) for k, v in best.items()}, "true": np.asarray(truth.sum(), np.float64)}


def _f_measure(matched: Any, predicted: Any, true: Any) -> np.ndarray:
    # 2PR / (P + R), with P = matched / predicted and R = matched / true.
    return 2 * np.asarray(matched, np.float64) / np.maximum(np.asarray(predicted, np.float64) + true, 1e-9)


def ods(sums: Sums) -> float:
    """F at the threshold that is best for the whole set."""
    if sums["true"] == 0:
        return float("nan")
    return float(np.max(_f_measure(sums["matched"], sums["predicted"], sums["true"])))


def ois(sums: Sums) -> float:
    """F with each image's own best threshold."""
    if sums["true"] == 0:
        return float("nan")
    return float(_f_measure(sums["best_matched"], sums["best_predicted"], sums["true"]))


def average_precision(sums: Sums) -> float:
    """Precision averaged over recall 0, 0.01, ..., 1, interpolated between thresholds, 0 beyond the largest recall."""
    if sums["true"] == 0:
        return float("nan")
    recall = np.asarray(sums["matched"] / sums["true"])
    precision = np.asarray(sums["matched"] / np.maximum(sums["predicted"], 1))
    recall, first = np.unique(recall[np.asarray(sums["predicted"]) > 0], return_index=True)
    precision = precision[np.asarray(sums["predicted"]) > 0][first]
    if not len(recall):
        return 0.0
    return float(np.mean(np.interp(np.linspace(0, 1, 101), recall, precision, right=0.0)))
