"""Pictures of masks, in the colours of their objects."""

import numpy as np

from mtljax.tasks.drawing.boxes import COLOURS
from mtljax.tasks.drawing.canvas import painted

_OBJECT = 0.65  # share of an object's colour in its pixels


def draw_ids(images: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """A map of ids over images: each object in a colour of its own.

    Args:
        images: (B, s, H, W, C).
        ids: (B, s, H, W) integers; 0 where there is no object.

    Returns:
        (B, s, h, w, 3) uint8.

    Example:
        >>> picture = draw_ids(np.zeros((1, 1, 1, 2, 3)), np.array([0, 1]).reshape(1, 1, 1, 2))
        >>> print(picture[0, 0, 0, [0, -1]].any(axis=-1))
        [False  True]
    """
    below = painted(images, lambda pen, factor, at: None)
    factor = below.shape[2] // ids.shape[2]
    large = np.repeat(np.repeat(np.asarray(ids, np.int64), factor, axis=2), factor, axis=3)
    mixed = (1 - _OBJECT) * below + _OBJECT * COLOURS[(large - 1) % len(COLOURS)]
    return np.where((large > 0)[..., None], mixed, below).astype(np.uint8)
