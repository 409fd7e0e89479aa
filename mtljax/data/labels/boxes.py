"""Boxes about objects, [ymin, xmin, ymax, xmax] in shares of the image; (0, 0, 0, 0) for an object out of sight."""

import numpy as np

from mtljax.data.dataset import Example

_ROUNDING = 1e-3  # pixels


def tight(segmentations: np.ndarray, number: int) -> Example:
    """The `bboxes` (n, s, 4) and `visibility` (n, s), in pixels, of the objects 1 to n of a map of objects.

    Args:
        segmentations: (s, H, W, 1), 0 where there is no object.
        number: n.

    Example:
        >>> found = tight(np.array([[0, 2, 2, 0]]).reshape(1, 1, 4, 1), 2)
        >>> print(found["bboxes"][:, 0].tolist(), found["visibility"][:, 0])
        [[0.0, 0.0, 0.0, 0.0], [0.0, 0.25, 1.0, 0.75]] [0 2]
    """
    from scipy import ndimage  # which takes long to import, and is wanted where boxes are found alone

    frames, height, width = segmentations.shape[:3]
    boxes, visibility = np.zeros((number, frames, 4), np.float32), np.zeros((number, frames), np.int32)
    for t, ids in enumerate(segmentations[..., 0]):
        visibility[:, t] = np.bincount(ids.reshape(-1), minlength=number + 1)[1 : number + 1]
        for i, box in enumerate(ndimage.find_objects(ids, max_label=number)):
            if box is not None:
                rows, columns = box
                boxes[i, t] = rows.start / height, columns.start / width, rows.stop / height, columns.stop / width
    return {"bboxes": boxes, "visibility": visibility}


def clipped(before: np.ndarray, place: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes (..., 4) as a window shows them; (0, 0, 0, 0) where it does not.

    They hold what is left of an object, and more than that where the window cuts it.

    Args:
        before: boxes in shares of the image.
        place: (4,) the window's top, left, height and width in shares of the image.
        size: (height, width) in pixels at which the window is shown.

    Example:
        >>> left_half = np.array([0, 0, 1, 0.5])
        >>> clipped(np.array([[0, 0.25, 1, 1], [0, 0.5, 1, 1]]), left_half, (4, 4)).tolist()
        [[0.0, 0.5, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]
    """
    corners = before.reshape(*before.shape[:-1], 2, 2)
    # The pixels shown are those whose centres lie within, the lower and not the upper bound included.
    moved = np.clip(np.ceil((corners - place[:2]) / place[2:] * size - 0.5 - _ROUNDING), 0, size)
    seen = np.all(moved[..., 1, :] > moved[..., 0, :], axis=-1)
    return np.where(seen[..., None], (moved / size).reshape(before.shape), 0).astype(before.dtype)


def most_seen(visibility: np.ndarray, boxes: np.ndarray, zoom: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An upper bound (M, s) of the pixels of objects that a window shows, for want of a map of objects.

    Args:
        visibility: (M, s) pixels before.
        boxes: (M, s, 4) as the window shows them.
        zoom: (2,) pixels shown for one of the image, along x and y.
        size: (height, width) in pixels at which the window is shown.
    """
    area = np.rint(np.prod((boxes[..., 2:] - boxes[..., :2]) * size, axis=-1))
    return np.minimum(visibility * np.prod(np.ceil(zoom)), area).astype(visibility.dtype)
