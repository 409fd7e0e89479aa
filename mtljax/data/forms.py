"""The shapes and dtypes that `mtljax.data.dataset` says, and what is wrong with an array that has others."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

_DTYPES = ("float32", "int32", "uint8", "bool")
MAP_AXES = ("s", "H", "W")
FORMS: Mapping[str, tuple[tuple[str | int, ...], str]] = {
    "semantic": ((*MAP_AXES, 1), "int32"),
    "depth": ((*MAP_AXES, 1), "float32"),
    "normal": ((*MAP_AXES, 3), "float32"),
    "edge": ((*MAP_AXES, 1), "uint8"),
    "forward_flow": ((*MAP_AXES, 2), "float32"),
    "backward_flow": ((*MAP_AXES, 2), "float32"),
    "moving": ((*MAP_AXES, 1), "uint8"),
    "segmentations": ((*MAP_AXES, 1), "uint8"),
    "ego_motion": (("s", 6), "float32"),
    "keypoints": (("s", "K", 2), "float32"),
    "frame_index": (("s",), "int32"),
    "sequence": ((), "int32"),
    "objects_valid": (("s",), "bool"),  # frames whose objects are all listed: a mask of no label
}
CAMERA = {"positions": ("s", 3), "quaternions": ("s", 4), "intrinsics": (3, 3)}


def form(key: str) -> tuple[Sequence[str | int] | None, str | None]:
    """The axes and the dtype of a label, where `mtljax.data.dataset` says them."""
    return FORMS.get(key, (None, None))


def of_form(value: Any, axes: Sequence[str | int] | None, dtype: str | None, frames: Sequence[int]) -> Iterator[str]:
    """What is wrong with the dtype, and with the shape where axes are given; letters stand for those of the image."""
    if not is_array(value):
        yield no_array(value)
        return
    dtypes = _DTYPES if dtype is None else (dtype,)
    if value.dtype.name not in dtypes:
        yield f"{value.dtype}; expected {' or '.join(dtypes)}"
    if axes is None:
        return
    sizes: dict[str | int, int] = dict(zip(MAP_AXES, frames, strict=False))
    wanted = tuple(sizes.get(axis, axis) for axis in axes)
    filled = tuple(m if isinstance(n, str) else n for n, m in itertools.zip_longest(wanted, value.shape))
    if filled != value.shape:
        known = any(axis in sizes for axis in axes)
        yield f"shape {value.shape}; expected {_told(axes)}{f' = {_told(wanted)}' if known else ''}"


def _told(axes: Sequence[str | int]) -> str:
    return f"({', '.join(map(str, axes))}{',' if len(axes) == 1 else ''})"


def is_array(value: Any) -> bool:
    """Whether a value is an array, or a number, of NumPy."""
    return isinstance(value, np.ndarray | np.generic)


def no_array(value: Any) -> str:
    """What is told of a value that is none."""
    return f"{type(value).__name__}, no array; expected an array of NumPy"
