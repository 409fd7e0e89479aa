"""From the slots of a decoded batch to the rows that figures read."""

import numpy as np

from mtljax.tasks.metrics.objects.overlap import box_areas
from mtljax.tasks.metrics.objects.precision import Found

LEAST = 0.02  # a slot counts for a class above it


def sides_of(corners: np.ndarray) -> np.ndarray:
    """Boxes [x0, y0, x1, y1], (..., 4), as [x, y, width, height].

    Example:
        >>> print(sides_of(np.array([1.0, 2.0, 4.0, 6.0])))
        [1. 2. 3. 4.]
    """
    return np.concatenate([corners[..., :2], corners[..., 2:] - corners[..., :2]], axis=-1)


def rows_by_class(
    image: np.ndarray, corners: np.ndarray, score: np.ndarray, probability: np.ndarray, least: float = LEAST
) -> tuple[Found, np.ndarray]:
    """The detections of slots: each counts once for every class, at its score times the class's probability.

    Args:
        image: (N,) integers.
        corners: (N, K, 4), [x0, y0, x1, y1] in pixels.
        score: (N, K).
        probability: (N, K, C), of the classes 1 to C.
        least: a detection has a higher score. One that is no number stays: it is for the figures to tell.

    Returns:
        The detections of boxes, and the slot of each, n K + k: what else is known of it, such as its mask, is there.

    Example:
        >>> share = np.array([[[0.99, 0.01], [0.5, 0.5]]])
        >>> found, slot = rows_by_class(np.array([7]), np.ones((1, 2, 4)), np.array([[0.8, 0.0]]), share)
        >>> print(found.image, found.category, found.score, slot)
        [7] [1] [0.792] [0]
    """
    product = np.asarray(score, np.float64)[..., None] * probability
    n, k, c = np.nonzero(~(product <= least))
    box = sides_of(np.asarray(corners, np.float64))[n, k]
    return Found(image[n], c + 1, box, box_areas(box), product[n, k, c]), n * score.shape[1] + k
