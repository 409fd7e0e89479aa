"""A window of an example at another size, with labels that stay true. NumPy and Pillow."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from PIL import Image

from mtljax.data.dataset import KINDS, Example
from mtljax.data.kinds import MAPS, Field, fields, replaced
from mtljax.data.labels.boxes import clipped, most_seen, tight


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

    def within(self, height: int, width: int) -> np.ndarray:
        """(4,): top, left, height and width in shares of an image of a height and width."""
        return np.array([self.top / height, self.left / width, self.height / height, self.width / width])


def shown(example: Example, window: Window, kinds: Mapping[str, str] = KINDS) -> Example:
    """What a window shows: image, labels, intrinsics and boxes. Labels are not valid beyond the image.

    An object that the window shows in no frame is not valid, nor is a point beyond it, or a box.

    Args:
        example: of images (s, H, W, C).
        window: a part of them, or more.
        kinds: of labels, as `mtljax.data.kinds.kinds_of` gives them.
    """
    h, w = example["image"].shape[1:3]
    rows, row_inside = _nearest(window.top, window.height, window.size[0], h)
    columns, column_inside = _nearest(window.left, window.width, window.size[1], w)
    inside = (row_inside[:, None] & column_inside)[:, :, None]
    whole, changes = bool(inside.all()), {}
    for field in fields(example, kinds):
        if field.kind in MAPS:
            found = field.value.take(rows, axis=1).take(columns, axis=2)
            if field.kind == "flow":
                found = found * window.zoom.astype(found.dtype)
            if field.kind == "edges" and field.valid is not None:
                known = field.valid.take(rows, axis=1).take(columns, axis=2)
                found = np.where(known, _covered(field.value, field.valid, window), np.zeros_like(found))
            changes[field.path] = found if whole else np.where(inside, found, np.zeros_like(found))
        elif field.kind == "masks":
            found = field.value.take(rows, axis=2).take(columns, axis=3)
            changes[field.path] = found & inside[..., 0] if found.dtype == bool else found * inside[..., 0]
        elif field.kind == "points":
            changes |= _points(field, window)
        elif field.kind == "boxes":
            changes |= _boxes(field, window.within(h, w), window.size)
        elif field.kind == "intrinsics":
            (sx, sy), before = window.zoom, field.value
            zoom = np.array([[sx, 0, -sx * window.left], [0, sy, -sy * window.top], [0, 0, 1]])
            changes[field.path] = (zoom @ before).astype(before.dtype)
    image = _resampled(example["image"], window)
    changes["image"] = image if whole else np.where(inside, image, np.zeros_like(image))
    result = replaced(example, changes)
    return result | _objects(example, result, window) if "bboxes" in example.get("instances", {}) else result


def _objects(example: Example, result: Example, window: Window) -> Example:
    """`instances` with boxes that a map of objects tells, where it shows any, and `instances_valid`."""
    instances = result["instances"]
    if "segmentations" in result and example["segmentations"].any():  # of a mix it may show none, beside boxes
        instances = instances | tight(result["segmentations"], len(instances["bboxes"]))
    elif "visibility" in instances:
        seen = most_seen(example["instances"]["visibility"], instances["bboxes"], window.zoom, window.size)
        instances = instances | {"visibility": seen}
    found = {"instances": instances}
    if "instances_valid" in example:
        found["instances_valid"] = example["instances_valid"] & np.any(instances["bboxes"] != 0, axis=(1, 2))
    return found


def _points(field: Field, window: Window) -> dict[str, np.ndarray]:
    """Places (..., 2) in pixels shown, and which of them are shown; the others are 0."""
    there = np.any(field.value != 0, axis=-1, keepdims=True) if field.valid is None else field.valid
    places = (field.value - np.array([window.left, window.top])) * window.zoom
    valid = there & np.all((places >= 0) & (places < np.array(window.size[::-1])), axis=-1, keepdims=True)
    found = {field.path: np.where(valid, places, 0).astype(field.value.dtype)}
    return found if field.valid is None else found | {f"{field.path}_valid": valid}


def _boxes(field: Field, place: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """Boxes (..., 4) as they are shown, and which of them are; the others are 0."""
    boxes = clipped(field.value, place, size)
    if field.valid is None:
        return {field.path: boxes}
    valid = field.valid & np.any(boxes != 0, axis=-1, keepdims=True)
    return {field.path: np.where(valid, boxes, np.zeros_like(boxes)), f"{field.path}_valid": valid}


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
