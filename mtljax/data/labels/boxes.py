"""Boxes about objects, [ymin, xmin, ymax, xmax] in shares of the image; (0, 0, 0, 0) for an object out of sight."""

import numpy as np
from scipy import ndimage

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
    frames, height, width = segmentations.shape[:3]
    boxes, visibility = np.zeros((number, frames, 4), np.float32), np.zeros((number, frames), np.int32)
    for t, ids in enumerate(segmentations[..., 0]):
        visibility[:, t] = np.bincount(ids.reshape(-1), minlength=number + 1)[1 : number + 1]
        for i, box in enumerate(ndimage.find_objects(ids, max_label=number)):
            if box is not None:
                rows, columns = box
                boxes[i, t] = rows.start / height, columns.start / width, rows.stop / height, columns.stop / width
    return {"bboxes": boxes, "visibility": visibility}


def clipped(instances: Example, place: np.ndarray, zoom: np.ndarray, size: tuple[int, int]) -> Example:
    """The boxes of objects as a window shows them, for want of a map of objects.

    They hold what is left of an object, and more than that where the window cuts it.

    Args:
        instances: with `bboxes`, and `visibility` where it is known: that becomes an upper bound.
        place: (4,) the window's top, left, height and width in shares of the image.
        zoom: (2,) pixels shown for one of the image, along x and y.
        size: (height, width) in pixels at which the window is shown.
    """
    before = instances["bboxes"]
    corners = before.reshape(*before.shape[:-1], 2, 2)
    # The pixels shown are those whose centres lie within, the lower and not the upper bound included.
    moved = np.clip(np.ceil((corners - place[:2]) / place[2:] * size - 0.5 - _ROUNDING), 0, size)
    sides = moved[..., 1, :] - moved[..., 0, :]
    seen = np.all(sides > 0, axis=-1)
    boxes = np.where(seen[..., None], (moved / size).reshape(before.shape), 0)
    result = {"bboxes": boxes.astype(before.dtype)}
    if "visibility" in instances:
        most = np.minimum(instances["visibility"] * np.prod(np.ceil(zoom)), np.prod(sides, axis=-1))
        result["visibility"] = np.where(seen, most, 0).astype(instances["visibility"].dtype)
    return result
