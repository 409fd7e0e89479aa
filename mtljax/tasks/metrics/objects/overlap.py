"""How much objects overlap: boxes [x, y, width, height] in pixels, as COCO and MOTChallenge have, and masks."""

import numpy as np

_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1)


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """The areas of boxes (..., 4): (...)."""
    return boxes[..., 2] * boxes[..., 3]


def box_overlap(found: np.ndarray, truth: np.ndarray, crowd: np.ndarray | bool = False) -> np.ndarray:
    """The IoU of boxes, pair by pair; with a crowd the share of what was found that lies in it.

    Args:
        found: (..., 4).
        truth: (..., 4); leading axes broadcast.
        crowd: bool, broadcasts.

    Returns:
        (...) in [0, 1]; 0 where nothing overlaps.

    Example:
        >>> print(box_overlap(np.array([0.0, 0, 2, 2]), np.array([[1.0, 0, 2, 2], [1.0, 0, 9, 9]]), [False, True]))
        [0.33333333 0.5       ]
    """
    low = np.maximum(found[..., :2], truth[..., :2])
    high = np.minimum(found[..., :2] + found[..., 2:], truth[..., :2] + truth[..., 2:])
    both = np.prod(np.maximum(high - low, 0.0), axis=-1)
    return _share(both, box_areas(found), box_areas(truth), crowd)


def pack(masks: np.ndarray) -> np.ndarray:
    """Masks (N, H, W), bit by bit: (N, bytes) uint8.

    Example:
        >>> print(pack(np.array([[[True, False]], [[True, True]]])))
        [[128]
         [192]]
    """
    masks = np.asarray(masks, bool)
    return np.packbits(masks.reshape(len(masks), int(np.prod(masks.shape[1:]))), axis=1)


def mask_areas(masks: np.ndarray) -> np.ndarray:
    """The pixels of packed masks (..., bytes): (...)."""
    return _BITS[masks].sum(axis=-1)


def mask_overlap(found: np.ndarray, truth: np.ndarray, crowd: np.ndarray | bool = False) -> np.ndarray:
    """The IoU of packed masks (..., bytes), pair by pair; with a crowd the share of what was found that lies in it.

    Example:
        >>> masks = pack(np.array([[[True, True, False]], [[False, True, True]]]))
        >>> print(mask_overlap(masks[0], masks).round(3))
        [1.    0.333]
    """
    return _share(mask_areas(found & truth), mask_areas(found), mask_areas(truth), crowd)


def _share(both: np.ndarray, found: np.ndarray, truth: np.ndarray, crowd: np.ndarray | bool) -> np.ndarray:
    """Intersections over unions, or over what was found."""
    whole = np.where(crowd, found, found + truth - both)
    return np.divide(both, whole, out=np.zeros(np.shape(whole)), where=whole > 0)
