"""Which detection is whose: one-to-one assignments of the greatest sum of overlaps."""

import numpy as np

from mtljax.tasks.metrics.objects.overlap import box_overlap

IOU = 0.5
EPSILON = np.finfo(np.float64).eps  # what rounding may take from an overlap that meets a threshold
SURE = 0.3  # a detection has a higher score


def assigned(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the one-to-one assignment of the greatest sum, those of a score of 0 left out.

    Example:
        >>> print(*assigned(np.array([[0.9, 0.8], [0.8, 0.0]])))
        [0 1] [1 0]
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(score, maximize=True)
    there = score[rows, columns] > EPSILON
    return rows[there], columns[there]


def found_for(truth: np.ndarray, found: np.ndarray, score: np.ndarray, sure: float = SURE) -> np.ndarray:
    """The detection of each object of a frame, of any class: the assignment of IoU of at least a half.

    Args:
        truth: (M, 4), boxes [x, y, width, height] in pixels.
        found: (K, 4), likewise.
        score: (K,).
        sure: a detection has a higher score; one whose score or box is no number is none.

    Returns:
        (M,) int, -1 where an object was not found.

    Example:
        >>> box = np.array([[0.0, 0.0, 4.0, 4.0]])
        >>> print(found_for(box, np.concatenate([box + 90, box + 1, box]), np.array([0.9, 0.9, 0.2])))
        [-1]
        >>> print(found_for(box, np.concatenate([box + 90, box + 1, box]), np.array([0.9, 0.9, 0.5])))
        [2]
    """
    there = (score > sure) & np.isfinite(found).all(axis=1)
    overlap = box_overlap(np.where(there[:, None], found, 0.0), truth[:, None])
    rows, columns = assigned(np.where(there & (overlap >= IOU - EPSILON), overlap, 0.0))
    index = np.full(len(truth), -1)
    index[rows] = columns
    return index
