"""A window of an example at another size, with labels that stay true. NumPy and Pillow."""

import dataclasses

import numpy as np
from PIL import Image

from mtljax.data.dataset import Example
from mtljax.data.labels.boxes import clipped, tight

FLOWS = ("forward_flow", "backward_flow")
EDGES = ("edge",)  # lines, of which the nearest pixel would miss many


@dataclasses.dataclass(frozen=True)
class Window:
    """A part of the image and the size at which it is shown. It may reach beyond the image.

    Attributes:
        top: where it begins, in pixels from the image's upper edge, fractions too.
        left: from the image's left edge.
        height: in pixels of the image, fractions too.
        width: likewise.
        size: (height, width) in pixels at which it is shown.
    """

    top: float
    left: float
    height: float
    width: float
    size: tuple[int, int]

    @property
    def zoom(self) -> np.ndarray:
        """(2,): pixels shown for one of the image, along x and y."""
        return np.array([self.size[1] / self.width, self.size[0] / self.height])


def dense(example: Example) -> dict[str, np.ndarray]:
    """The labels and masks of an example, (s, H, W, C), that have a value for every pixel."""
    frames = example["image"].shape[:3]
    return {
        key: value
        for key, value in example.items()
        if key != "image" and np.ndim(value) == 4 and np.shape(value)[:3] == frames
    }


def shown(example: Example, window: Window) -> Example:
    """What a window shows: image, labels, intrinsics and boxes. Labels are not valid beyond the image.

    An object that the window shows in no frame is not valid, nor is a point beyond it.
    """
    h, w = example["image"].shape[1:3]
    rows, row_inside = _nearest(window.top, window.height, window.size[0], h)
    columns, column_inside = _nearest(window.left, window.width, window.size[1], w)
    inside = (row_inside[:, None] & column_inside)[:, :, None]
    result = dict(example)
    for key, value in dense(example).items():
        found = value.take(rows, axis=1).take(columns, axis=2)
        if key in FLOWS:
            found = found * window.zoom.astype(found.dtype)
        result[key] = found
    for key in result.keys() & set(EDGES):
        covered = _covered(example[key], example[f"{key}_valid"], window)
        result[key] = np.where(result[f"{key}_valid"], covered, np.zeros_like(covered))
    result["image"] = _resampled(example["image"], window)
    if not inside.all():
        for key in ("image", *dense(result)):
            result[key] = np.where(inside, result[key], np.zeros_like(result[key]))
    if "keypoints" in example:
        result |= _points(example["keypoints"], example["keypoints_valid"], window)
    if "intrinsics" in example.get("camera", {}):
        (sx, sy), before = window.zoom, example["camera"]["intrinsics"]
        zoom = np.array([[sx, 0, -sx * window.left], [0, sy, -sy * window.top], [0, 0, 1]])
        result["camera"] = example["camera"] | {"intrinsics": (zoom @ before).astype(before.dtype)}
    if "bboxes" in example.get("instances", {}):
        if "segmentations" in result:
            boxes = tight(result["segmentations"], len(example["instances"]["bboxes"]))
        else:
            place = np.array([window.top / h, window.left / w, window.height / h, window.width / w])
            boxes = clipped(example["instances"], place, window.zoom, window.size)
        result["instances"] = example["instances"] | boxes
        if "instances_valid" in example:
            result["instances_valid"] = example["instances_valid"] & np.any(boxes["bboxes"] != 0, axis=(1, 2))
    return result


def _points(points: np.ndarray, valid: np.ndarray, window: Window) -> dict[str, np.ndarray]:
    """Places (s, K, 2) in pixels shown, and which of them are shown; the others are 0."""
    places = (points - np.array([window.left, window.top])) * window.zoom
    valid = valid & np.all((places >= 0) & (places < np.array(window.size[::-1])), axis=-1, keepdims=True)
    return {"keypoints": np.where(valid, places, 0).astype(points.dtype), "keypoints_valid": valid}


def _covered(edge: np.ndarray, valid: np.ndarray, window: Window) -> np.ndarray:
    """The largest of what each pixel shown covers of what is valid: (s, H, W, 1) -> (s, *size, 1)."""
    found = np.where(valid, edge, np.zeros_like(edge))
    for axis, begin, length, size in (
        (1, window.top, window.height, window.size[0]),
        (2, window.left, window.width, window.size[1]),
    ):
        limit, step = found.shape[axis], length / size
        first = np.round(begin + np.arange(size) * step, 6)
        last = np.ceil(np.round(first + step, 6)).astype(int) - 1
        first = np.floor(first).astype(int)
        if step <= 1:  # an edge grows no wider than the image does
            first = last = _nearest(begin, length, size, limit)[0]
        rows = [np.minimum(first + i, last).clip(0, limit - 1) for i in range(int((last - first).max()) + 1)]
        found = np.max([found.take(row, axis) for row in rows], axis=0)
    return found


def _nearest(begin: float, length: float, size: int, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """For `size` pixels shown, the pixel of the image under the centre of each, and whether there is one."""
    under = np.floor(begin + (np.arange(size) + 0.5) * (length / size)).astype(int)
    return np.clip(under, 0, limit - 1), (under >= 0) & (under < limit)


def _resampled(image: np.ndarray, window: Window) -> np.ndarray:
    """The window's (s, *size, C); the image's edges go on beyond it.

    An average over areas where it shrinks by whole numbers, else weights of a triangle as wide as two pixels of the
    coarser grid: linear interpolation where it grows.
    """
    top, left = int(np.floor(window.top)), int(np.floor(window.left))
    bottom, right = int(np.ceil(window.top + window.height)), int(np.ceil(window.left + window.width))
    h, w = image.shape[1:3]
    beyond = [(max(0, -top), max(0, bottom - h)), (max(0, -left), max(0, right - w))]
    if np.any(beyond):
        image = np.pad(image, [(0, 0), *beyond, (0, 0)], mode="edge")
    y, x = window.top + beyond[0][0], window.left + beyond[1][0]
    whole = y % 1 == x % 1 == 0 and window.height % window.size[0] == window.width % window.size[1] == 0
    if whole and window.size == (window.height, window.width):
        return image[:, int(y) : int(y) + window.size[0], int(x) : int(x) + window.size[1]]
    how = Image.Resampling.BOX if whole else Image.Resampling.BILINEAR
    box = (x, y, min(x + window.width, image.shape[2]), min(y + window.height, image.shape[1]))

    def plane(values: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(values).resize((window.size[1], window.size[0]), how, box))

    if image.dtype == np.uint8 and image.shape[-1] == 3:
        return np.stack([plane(frame) for frame in image])
    return np.stack([np.stack([plane(frame[..., c]) for c in range(frame.shape[-1])], axis=-1) for frame in image])
