"""Objects as people have them, boxes, maps and tracks, in the one form of an example."""

from typing import Any

import numpy as np

from mtljax.data.dataset import Example
from mtljax.data.labels.boxes import tight
from mtljax.data.labels.objects import OBJECTS, padded
from mtljax.errors import UserError

_DTYPES = {"category": np.int32, "id": np.int32, "visibility": np.int32, "ignored": np.bool_}
_ROUNDING, _INT32 = 1e-6, np.iinfo(np.int32)


def instances(
    shape: tuple[int, int, int],
    bboxes: Any = None,
    *,
    segmentations: Any = None,
    listed: Any = True,
    valid: Any = True,
    objects: int = OBJECTS,
    where: str = "instances(...)",
    **entries: Any,
) -> Example:
    """The n objects of an example: `instances`, `instances_valid` and `objects_valid`, and their map if there is one.

    Args:
        shape: (s, H, W) of the image; where s is 1, what follows may lack its axis.
        bboxes: (n, s, 4), [ymin, xmin, ymax, xmax] in shares of the image, zeros in frames that do not show an object.
            What is partly outside is clipped. Not needed where there is a map, which tells them.
        segmentations: (s, H, W), (H, W) or with a last axis of 1: the object of each pixel, 1 + its place, or 0.
        listed: whether all objects are listed, of all frames or of each (s,).
        valid: (n,), which of the n there are, such as of arrays that are padded already.
        objects: M, to which objects are padded.
        where: for messages.
        **entries: others of `mtljax.data.dataset`, such as `category` (n,), from 1 on, or `ignored` (n, s); and one's
            own, (n, ...).

    Returns:
        These keys of an example.

    Raises:
        UserError: for boxes in pixels, for numbers of objects that differ, and for more than M.

    Example:
        >>> found = instances((1, 4, 8), [[0, 0, 0.5, 0.25], [0.5, 0.5, 1, 1.2]], category=[1, 2], objects=3)
        >>> found["instances"]["bboxes"][:, 0].tolist()[1], found["instances"]["visibility"][:, 0]
        ([0.5, 0.5, 1.0, 1.0], array([4, 8, 0], dtype=int32))
        >>> found["instances"]["category"], found["instances_valid"], found["objects_valid"]
        (array([1, 2, 0], dtype=int32), array([ True,  True, False]), array([ True]))
    """
    frames = shape[0]
    entries = {key: _entry(key, value, frames, where) for key, value in entries.items() if value is not None}
    result: Example = {}
    number = len(next(iter(entries.values()), ()))
    if bboxes is not None:
        given = np.asarray(bboxes, np.float32).reshape(-1, frames, 4)
        entries = _boxes(given, shape, where) | entries
        number = len(given)
    if segmentations is not None:
        ids = np.asarray(segmentations).reshape(*shape, 1)
        number = max(number, int(ids.max(initial=0))) if bboxes is None and not entries else number
        if not 0 <= ids.min(initial=0) <= ids.max(initial=0) <= min(number, 255):
            raise UserError(f"{where}: segmentations hold {ids.max()}; expected 0 to {number}, for {number} objects.")
        result["segmentations"] = ids.astype(np.uint8)
        entries |= tight(ids.astype(np.int32), number)
    elif bboxes is None:
        raise UserError(f"{where}: there are no bboxes and no segmentations; expected one of them.")
    entries.setdefault("ignored", np.zeros((number, frames), bool))
    if wrong := {key: len(value) for key, value in entries.items() if len(value) != number}:
        raise UserError(f"{where}: {wrong} differ from the number of objects, {number}.")
    result |= padded(entries, objects, where)
    result["instances_valid"][:number] &= np.broadcast_to(np.asarray(valid, bool), number)
    return result | {"objects_valid": np.array(np.broadcast_to(np.asarray(listed, bool), frames))}


def _entry(key: str, value: Any, frames: int, where: str) -> np.ndarray:
    found = np.asarray(value)
    if key in ("category", "id") and not np.array_equal(found, np.round(found)):
        raise UserError(f"{where}: {key} holds {found.min():g} .. {found.max():g}; expected whole numbers.")
    plain = {"f": np.float32, "i": np.int32, "u": np.int32}.get(found.dtype.kind, found.dtype)
    dtype = np.dtype(_DTYPES.get(key, plain))
    if dtype == np.int32 and found.size and not (_INT32.min <= found.min() and found.max() <= _INT32.max):
        raise UserError(f"{where}: {key} holds {found.min()} .. {found.max()}; expected whole numbers of 32 bits.")
    found = found.astype(dtype)
    framed = key in ("visibility", "ignored") and found.ndim == 1
    if framed or (key in ("positions", "quaternions") and found.ndim == 2):
        found = np.repeat(found[:, None], frames, axis=1) if key == "ignored" else found[:, None]
    return found


def _boxes(given: np.ndarray, shape: tuple[int, int, int], where: str) -> dict[str, np.ndarray]:
    """Boxes, clipped, and a bound of the pixels that they show."""
    if not np.isfinite(given).all():
        raise UserError(f"{where}: bboxes hold numbers that are not finite.")
    if given.size and np.abs(given).max() > 2 + _ROUNDING:
        raise UserError(
            f"{where}: bboxes hold {given.min():g} .. {given.max():g}, which looks like pixels; expected [ymin, xmin, "
            "ymax, xmax] in shares of the image: divide by its height and width."
        )
    wrong = np.any(given != 0, axis=-1) & np.any(given[..., 2:] <= given[..., :2], axis=-1)
    for i, t in np.argwhere(wrong)[:1]:
        told = given[i, t].astype(float).round(4).tolist()
        raise UserError(f"{where}: the box of object {i}, frame {t}, is {told}; expected [ymin, xmin, ymax, xmax].")
    boxes = given.clip(0, 1)
    sides = (boxes[..., 2:] - boxes[..., :2]) * shape[1:]
    seen = np.all(sides > 0, axis=-1)
    area = np.ceil(np.prod(sides, axis=-1) - _ROUNDING)
    return {
        "bboxes": np.where(seen[..., None], boxes, 0).astype(np.float32),
        "visibility": np.where(seen, area, 0).astype(np.int32),
    }
