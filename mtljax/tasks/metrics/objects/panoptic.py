"""Panoptic quality: whether segments of one class are the same, and how well they meet (Kirillov 2019, section 4)."""

from typing import NamedTuple

import numpy as np


class Segments(NamedTuple):
    """The segments of an image; no pixel belongs to two.

    Attributes:
        ids: (H, W) integers, 0 where there is no segment, else 1 to n.
        category: (n + 1,) integers from 1 on, by id; the first is of no segment.
        crowd: (n + 1,) bool, segments that are neither wanted nor wrong; None for none.
    """

    ids: np.ndarray
    category: np.ndarray
    crowd: np.ndarray | None = None


def panoptic_counts(truth: Segments, found: Segments, classes: int) -> np.ndarray:
    """What an image adds, by class: sums of IoU, matches, false segments and missed ones.

    Segments match if they are of one class and their IoU is above a half; pixels of no true segment (void) are left out
    of the union. A segment that matches none is not false where over half of it is void or crowd of its class. A ground
    that is no void is a segment of a class of its own.

    Args:
        truth: the segments that are there.
        found: the predicted ones.
        classes: C.

    Returns:
        (4, C + 1) float64: add them up over a split, and give `panoptic_figures` the sum. Class 0 is of none.

    Example:
        >>> one = Segments(np.array([[1, 1, 2]]), np.array([0, 1, 2]))
        >>> print(panoptic_counts(one, Segments(np.array([[1, 1, 0]]), np.array([0, 1])), classes=2))
        [[0. 1. 0.]
         [0. 1. 0.]
         [0. 0. 0.]
         [0. 0. 1.]]
    """
    wanted = np.ones(len(truth.category), bool) if truth.crowd is None else ~truth.crowd
    rows, columns = len(truth.category), len(found.category)
    pairs = truth.ids.astype(np.int64).ravel() * columns + found.ids.astype(np.int64).ravel()
    both = np.bincount(pairs, minlength=rows * columns).reshape(rows, columns)
    area_g, area_d = both.sum(axis=1), both.sum(axis=0)
    same = truth.category[:, None] == found.category
    union = area_g[:, None] + area_d - both - both[0]
    iou = np.divide(both, union, out=np.zeros(both.shape), where=union > 0)
    match = same & wanted[:, None] & (iou > 0.5)
    match[0] = match[:, 0] = False
    excused = both[0] + np.where(same & ~wanted[:, None], both, 0)[1:].sum(axis=0)
    missed = wanted & (area_g > 0) & ~match.any(axis=1)
    false = (area_d > 0) & ~match.any(axis=0) & (2 * excused <= area_d)
    missed[0] = false[0] = False
    counts = np.zeros((4, classes + 1))
    g, d = np.nonzero(match)
    np.add.at(counts[0], truth.category[g], iou[g, d])
    np.add.at(counts[1], truth.category[g], 1)
    np.add.at(counts[2], found.category[false], 1)
    np.add.at(counts[3], truth.category[missed], 1)
    return counts


def panoptic_figures(counts: np.ndarray) -> dict[str, float]:
    """PQ = sum of IoU / (TP + FP / 2 + FN / 2), SQ = sum of IoU / TP, RQ: means over the classes that have any.

    NaN where there is no segment at all; a class without a match has an SQ of 0.

    Args:
        counts: (4, ...), of some classes: what `panoptic_counts` gave, added up.

    Example:
        >>> print(panoptic_figures(np.array([[0.8, 0.0], [1.0, 0.0], [2.0, 0.0], [0.0, 0.0]])))
        {'PQ': 0.4, 'SQ': 0.8, 'RQ': 0.5}
    """
    iou, right, false, missed = counts[:, counts[1:].sum(axis=0) > 0]
    if not len(iou):
        return dict.fromkeys(("PQ", "SQ", "RQ"), float("nan"))
    all_ = right + false / 2 + missed / 2
    each = {"PQ": iou / all_, "SQ": iou / np.maximum(right, 1), "RQ": right / all_}
    return {name: float(np.mean(values)) for name, values in each.items()}
