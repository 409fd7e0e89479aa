"""What is wrong with the objects of an example: `instances`, and what goes with them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mtljax.data.forms import is_array, of_form

_FORMS: Mapping[str, tuple[tuple[str | int, ...], str]] = {
    "bboxes": (("M", "s", 4), "float32"),
    "visibility": (("M", "s"), "int32"),
    "ignored": (("M", "s"), "bool"),
    "category": (("M",), "int32"),
    "id": (("M",), "int32"),
    "positions": (("M", "s", 3), "float32"),
    "quaternions": (("M", "s", 4), "float32"),
    "scale": (("M", 3), "float32"),
}
_WANTED = ("bboxes", "visibility")
_UNIT = 1e-2  # by which lengths of quaternions may differ from 1
_ROUNDING = 1e-6


def object_faults(example: Mapping[str, Any], frames: Sequence[int]) -> Iterator[str]:
    """What is wrong with `instances`, as `what; what was expected`; `entry: ...` for one of its entries.

    Args:
        example: with `instances`.
        frames: (s, H, W) of its image, or nothing.

    Example:
        >>> objects = {"bboxes": np.float32([[[0, 0, 1, 2]]]), "visibility": np.ones((1, 1), np.int32)}
        >>> example = {"instances": objects, "instances_valid": np.array([True]), "objects_valid": np.array([True])}
        >>> list(object_faults(example, ()))
        ['bboxes: object 0, frame 0 is [0.0, 0.0, 1.0, 2.0]; expected [ymin, xmin, ymax, xmax] in shares of the image']
    """
    instances, valid = example["instances"], example.get("instances_valid")
    if not isinstance(instances, Mapping):
        yield f"{type(instances).__name__}; expected a dict of arrays"
        return
    wrong = [f"{key}: is not there" for key in _WANTED if key not in instances]
    for key, value in instances.items():
        axes, dtype = _FORMS.get(key, (None, None))
        wrong += [f"{key}: {one}" for one in of_form(value, axes, dtype, frames)]
    if "objects_valid" not in example:
        wrong.append("has no objects_valid; expected (s,) bool, frames whose objects are all listed")
    yield from wrong
    if wrong or valid is None or not is_array(valid):
        return
    numbers = {key: len(value) for key, value in instances.items()} | {"instances_valid": np.size(valid)}
    numbers |= {key: len(example[key]) for key in ("future",) if key in example and "image" in example}
    if len(set(numbers.values())) > 1:
        yield f"has {', '.join(f'{key} of {number}' for key, number in numbers.items())} objects; expected one number"
        return
    yield from _of_values(instances, np.asarray(valid, bool))
    if "segmentations" in example and is_array(example["segmentations"]):
        yield from _of_map(example["segmentations"], instances["visibility"], np.asarray(valid, bool))


def _of_values(instances: Mapping[str, Any], valid: np.ndarray) -> Iterator[str]:
    """What is wrong with the numbers of objects that there are."""
    boxes, seen = instances["bboxes"], instances["visibility"] > 0
    there, (low, high) = np.any(boxes != 0, axis=-1), (boxes[..., :2], boxes[..., 2:])
    out = ~np.isfinite(boxes).all(axis=-1) | (boxes < -_ROUNDING).any(axis=-1) | (boxes > 1 + _ROUNDING).any(axis=-1)
    expected = "expected [ymin, xmin, ymax, xmax] in shares of the image"
    for found, what in (
        (there & (out | ~(low < high).all(axis=-1)), expected),
        (there & ~seen, "expected 0, where visibility is 0"),
        (~there & seen, "expected a box, where visibility is above 0"),
    ):
        for i, t in np.argwhere(found & valid[:, None])[:1]:
            yield f"bboxes: object {i}, frame {t} is {boxes[i, t].astype(float).round(4).tolist()}; {what}"
    for i in np.flatnonzero(valid & (instances["category"] < 1))[:1] if "category" in instances else ():
        yield f"category: object {i} has {instances['category'][i]}; expected classes from 1"
    if "scale" in instances:
        scale = instances["scale"]
        for i in np.flatnonzero(valid & scale.any(axis=-1) & (scale <= 0).any(axis=-1))[:1]:
            yield f"scale: object {i} has {scale[i].tolist()}; expected half sizes above 0, in metres"
    if "quaternions" in instances:
        length = np.linalg.norm(instances["quaternions"], axis=-1)
        off = (np.abs(length - 1) > _UNIT) & (length > 0)
        for i, t in np.argwhere(off & valid[:, None])[:1]:
            yield f"quaternions: object {i}, frame {t} is of another length than 1"


def _of_map(ids: np.ndarray, visibility: np.ndarray, valid: np.ndarray) -> Iterator[str]:
    """Whether a map of objects, if it shows any, shows as many pixels of each as `visibility` says."""
    number = len(visibility)
    if ids.max(initial=0) > number:
        yield f"segmentations: holds {ids.max()}; expected 0 to {number}, places in instances"
    elif ids.any():
        counts = np.stack([np.bincount(one.reshape(-1), minlength=number + 1)[1:] for one in ids], axis=1)
        for i, t in np.argwhere((counts != visibility) & valid[:, None])[:1]:
            said = f"visibility says {visibility[i, t]}"
            yield f"segmentations: object {i}, frame {t} has {counts[i, t]} pixels; {said}"
