"""The one form that examples of several data sets get."""

from collections.abc import Mapping, Sequence

import numpy as np

from mtljax.data.dataset import Example
from mtljax.data.reading.cameras import still_camera
from mtljax.errors import UserError
from mtljax.geometry.camera import pinhole

_OF_OBJECTS = ("instances_valid", "future", "future_valid")  # with an axis of objects, as `instances` has


def common_form(name: str, firsts: Mapping[str, Example], size: tuple[int, int] | None) -> Example:
    """Zeros of every label and mask of any set, objects among them, and a camera where any has one.

    Args:
        name: of the mix, for messages.
        firsts: set -> an example of it, at `size`.
        size: that all examples get, or None.

    Raises:
        UserError: where the images or a label of two sets differ in shape.
    """
    [(first_name, first), *others] = firsts.items()
    for other_name, other in others:
        a, b = first["image"].shape, other["image"].shape
        pair = f"{name}: {first_name!r} and {other_name!r}"
        if a[0] != b[0]:
            raise UserError(f"{pair} differ in the length of clips: {a[0]} and {b[0]} frames.")
        if a[1:3] != b[1:3]:
            raise UserError(
                f"{pair} differ in size: {a[1]} x {a[2]} and {b[1]} x {b[2]} (height x width); give size=(height, "
                "width), which all examples get."
            )
        if a[3] != b[3]:
            raise UserError(f"{pair} differ in channels of their images: {a[3]} and {b[3]}.")
    form: Example = {}
    for key, example in firsts.items():
        for mask in [k for k in example if k.endswith("_valid")]:
            label = mask.removesuffix("_valid")
            if label in example and not isinstance(example[label], Mapping) and label not in _OF_OBJECTS:
                for part in (label, mask):
                    form[part] = _joined(f"{name}: {key!r}", part, form.get(part), np.asarray(example[part]))
    form |= _objects(name, firsts)
    if any("camera" in example for example in firsts.values()):
        form["camera"] = _plausible_camera(first["image"].shape)
    return form


def _objects(name: str, firsts: Mapping[str, Example]) -> Example:
    """`instances`, and what goes with them, of as many objects as any set has."""
    having = {key: example for key, example in firsts.items() if "instances" in example}
    most = max((len(example["instances_valid"]) for example in having.values()), default=0)
    form: Example = {"instances": {}} if having else {}
    for key, example in having.items():
        where = f"{name}: {key!r}"
        for part, value in example["instances"].items():
            value = np.zeros((most, *value.shape[1:]), value.dtype)
            form["instances"][part] = _joined(where, f"instances/{part}", form["instances"].get(part), value)
        for part in _OF_OBJECTS:
            if part in example:
                value = np.asarray(example[part])
                value = np.zeros((most, *value.shape[1:]), value.dtype)
                form[part] = _joined(where, part, form.get(part), value)
        for part in ("segmentations", "objects_valid"):
            if part in example:
                form[part] = _joined(where, part, form.get(part), np.asarray(example[part]))
    return form


def in_form(example: Example, form: Example) -> Example:
    """An example with all that a form has: zeros where it has none, and as many objects, of a set with fewer.

    Args:
        example: of one of the sets.
        form: as `common_form` gives it.
    """
    result: Example = {"image": example["image"]}
    for key, absent in form.items():
        given = example.get(key, absent)
        if key == "camera":
            result[key] = given
        elif key == "instances":
            result[key] = {part: _padded(given.get(part, zeros), zeros) for part, zeros in absent.items()}
        elif key in _OF_OBJECTS:
            result[key] = _padded(given, absent)
        else:
            result[key] = np.asarray(given, absent.dtype)
    return result


def _padded(value: np.ndarray, zeros: np.ndarray) -> np.ndarray:
    result = np.zeros_like(zeros)
    result[: len(value)] = value
    return result


def _joined(where: str, label: str, known: np.ndarray | None, value: np.ndarray) -> np.ndarray:
    """Zeros of a label's shape, in a dtype that holds both what is known of it and a value."""
    if known is None:
        return np.zeros_like(value)
    if known.shape != value.shape:
        raise UserError(
            f"{where} has {label!r} of shape {value.shape}; in the sets before it is of shape {known.shape}."
        )
    return known.astype(np.result_type(known, value))


def _plausible_camera(shape: Sequence[int]) -> dict[str, np.ndarray]:
    """The camera of images of unknown cameras: (s, H, W, C)."""
    s, height, width = shape[:3]
    return still_camera(pinhole(width, height, width), s)
