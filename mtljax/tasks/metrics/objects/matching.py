"""COCO's matching: by falling score, each detection takes the free object that it overlaps most.

Groups of one image and class do not touch each other, so that all of them go through it at once: first every group's
best detection, then every group's second, and so on.
"""

from typing import NamedTuple

import numpy as np

_ALMOST = 1 - 1e-10  # a threshold of 1 is met by rounded overlaps too, as COCO has it
_AT_ONCE = 2**22  # cells of a table of groups x thresholds x objects


class Groups(NamedTuple):
    """Groups of detections and of objects, padded to the largest.

    Attributes:
        overlap: (N, D, G), of detections by falling score and objects; -1 where there is none.
        crowd: (N, G) bool, objects that any number of detections may take.
        ignored: (N, A, G) bool, in each range of areas: objects that are neither wanted nor wrong.
    """

    overlap: np.ndarray
    crowd: np.ndarray
    ignored: np.ndarray


def match(groups: Groups, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Who takes an object, and who takes one that is ignored.

    A detection takes, of the free objects that it overlaps by at least the threshold, the one that it overlaps most
    (the last of equal ones), one that counts before one that is ignored.

    Args:
        groups: of one image and class each.
        thresholds: (T,), of the overlap.

    Returns:
        taken, ignored: both (N, A, T, D) bool; the second implies the first.
    """
    number, detections, _ = groups.overlap.shape
    areas = groups.ignored.shape[1]
    taken, passed = np.zeros((2, number, areas, len(thresholds), detections), bool)
    each = max(1, _AT_ONCE // max(1, areas * len(thresholds) * groups.overlap.shape[2]))
    for begin in range(0, number, each):
        part = slice(begin, begin + each)
        _match(Groups(*(array[part] for array in groups)), thresholds, taken[part], passed[part])
    return taken, passed


def _match(groups: Groups, thresholds: np.ndarray, taken: np.ndarray, passed: np.ndarray) -> None:
    """As `match`, of a few groups, into the last two arguments."""
    number, detections, objects = groups.overlap.shape
    free = np.ones((number, groups.ignored.shape[1], len(thresholds), objects), bool)
    least = np.minimum(thresholds, _ALMOST)[:, None]
    # The place of each object by rising overlap, the last of equal ones highest; those that count come above.
    places = np.argsort(np.argsort(groups.overlap, axis=2, kind="stable"), axis=2, kind="stable")
    above = np.where(groups.ignored, 0, objects)
    for d in range(detections):
        active = groups.overlap[:, d].max(axis=1, initial=-1.0) >= least.min()
        if not active.any():
            continue
        overlap, crowd = groups.overlap[active, d][:, None, None], groups.crowd[active][:, None, None]
        may = (free[active] | crowd) & (overlap >= least)
        key = np.where(may, (places[active, d][:, None] + above[active])[:, :, None], -1)
        best = np.argmax(key, axis=3)
        there = np.take_along_axis(may, best[..., None], axis=3)[..., 0]
        taken[active, :, :, d] = there
        rows = np.arange(len(best))[:, None, None]
        passed[active, :, :, d] = there & groups.ignored[active][rows, np.arange(best.shape[1])[:, None], best]
        n, a, t = np.nonzero(there)
        free[np.flatnonzero(active)[n], a, t, best[n, a, t]] = False
