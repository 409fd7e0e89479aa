"""Stored numbers as images and labels of the one form: what cannot be told from their type is refused or said.

How a value is to be read is said by one of

- a number f: the value is f times what is stored, float32; `0.001` for millimetres, `1 / 65535` for images of 16 bits;
- two numbers (f, c): f times it plus c; `(2 / 255, -1)` for normals of 8 bits;
- `'classes'`: numbers stored as floats that are whole, and mean classes;
- `'rgb'`: of an image with four channels the first three.
"""

from collections.abc import Collection, Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from mtljax.data.dataset import Example
from mtljax.errors import UserError, unknown

How = str | float | tuple[float, float]

_WORDS = ("classes", "rgb")
_MEASURED = {
    "depth": ("metres", "0.001 for millimetres"),
    "normal": ("components in [-1, 1]", "(2 / 255, -1) for 8 bits"),
    "forward_flow": ("pixels", "(1 / 64, -512) for KITTI's 16 bits"),
    "backward_flow": ("pixels", "(1 / 64, -512) for KITTI's 16 bits"),
    "ego_motion": ("metres and radians", "1.0 for these"),
    "keypoints": ("pixels", "1.0 for these"),
}
_CHANNELS = {"depth": 1, "normal": 3, "forward_flow": 2, "backward_flow": 2, "edge": 1, "moving": 1, "semantic": 1}
_FLAGS = ("edge", "moving")
_UNIT = 0.05  # by which most normals' lengths may differ from 1
_INT32 = np.iinfo(np.int32)


def checked(call: str, decode: Any, keys: Collection[str]) -> dict[str, How]:
    """The argument `decode`: a way to read for some of the keys.

    Raises:
        UserError: where it is something else.
    """
    if decode is not None and not isinstance(decode, Mapping):
        raise UserError(f"{call}: decode={decode!r}; expected ways to read by key, as in {{'depth': 0.001}}.")
    for key, how in (decode or {}).items():
        if key not in keys:
            raise unknown(f"key in decode of {call}:", str(key), keys)
        if isinstance(how, str):
            if how not in _WORDS:
                raise unknown(f"way to decode {key!r} of {call}:", how, _WORDS)
            if (how == "rgb") != (key == "image"):
                raise UserError(f"{call}: decode={{{key!r}: {how!r}}}; 'rgb' is for `image`, 'classes' for labels.")
        else:
            numbers = how if isinstance(how, tuple | list) and len(how) == 2 else (how,)
            if not all(isinstance(n, int | float) and not isinstance(n, bool) and np.isfinite(n) for n in numbers):
                raise UserError(f"{call}: decode={{{key!r}: {how!r}}}; expected a factor, or a factor and a shift.")
            if numbers[0] == 0:
                raise UserError(f"{call}: decode={{{key!r}: {how!r}}}; expected a factor that is not 0.")
    return dict(decode or {})


def image(value: np.ndarray, how: How | None = None) -> Example:
    """`image` (s, H, W, 3) uint8 as stored, or float32 in [0, 1]; grey is repeated.

    Args:
        value: (H, W), (H, W, C) or (s, H, W, C).
        how: to read it, see above; with numbers any C and any range are kept.

    Raises:
        UserError: for numbers whose black and white are not known, and for other channels than 1 or 3.
    """
    value = _plain("image", value)
    stored = f"an image of {value.dtype} {value.shape}"
    value = value[..., None] if value.ndim == 2 else value
    value = value[None] if value.ndim == 3 else value
    if value.ndim != 4:
        raise UserError(f"{stored}: expected (H, W), (H, W, C) or (s, H, W, C).")
    if how == "rgb":
        if value.shape[-1] != 4:
            raise UserError(f"{stored}: decode={{'image': 'rgb'}} is for four channels.")
        value = value[..., :3]
    numbers = None if how == "rgb" else how
    if numbers is not None:
        value = _scaled(value, numbers)
        if not np.isfinite(value).all():
            raise UserError(f"{stored} holds numbers that are not finite.")
    elif value.dtype.kind == "f":
        value = _float32("image", value)
        if not (value.min() >= 0 and value.max() <= 1):  # NaN is neither
            raise UserError(
                f"{stored} holds {value.min():g} .. {value.max():g}; expected floats in [0, 1], or "
                "decode={'image': 1 / 255}, the factor that brings them there."
            )
    elif value.dtype != np.uint8:
        raise UserError(
            f"{stored}: its white is not known; expected uint8, floats in [0, 1], or decode={{'image': 1 / 65535}}, "
            "the factor that brings it there."
        )
    channels = value.shape[-1]
    if channels == 1:
        value = np.repeat(value, 3, axis=-1)
    elif channels != 3 and numbers is None:
        raise UserError(
            f"{stored}: {channels} channels; expected 1 or 3. decode={{'image': 'rgb'}} takes the first three of four, "
            "decode={'image': 1 / 255} or another factor keeps all, as float32."
        )
    return {"image": value}


def label(key: str, value: ArrayLike, how: How | None = None, places: int = 0) -> Example:
    """A label with its mask, in the form that `mtljax.data.dataset` says for its name.

    Whole numbers are classes, int32, not valid where negative; floats are numbers, float32, not valid where they are
    not finite. Depth is not valid where it is not positive, a normal where it is shorter than 0.5. Of a vector of
    floats each number is valid or not by itself.

    Args:
        key: its name.
        value: of any shape, a number too; (H, W) and (H, W, C) become (1, H, W, C), and `keypoints` (K, 2) (1, K, 2).
        how: to read it, see above.
        places: where it holds points or boxes, (K, n) or (s, K, n), the n numbers of each: 2 or 4; they get the axis s.

    Raises:
        UserError: for numbers that do not fit, and for what only `how` can tell.

    Example:
        >>> label("kind", 3)
        {'kind': array(3, dtype=int32), 'kind_valid': array(True)}
    """
    value = _plain(key, np.asarray(value))
    places = 2 if key == "keypoints" else places
    if places:
        value = _places(key, value, places)
    else:
        value = value[..., None] if value.ndim == 2 else value
        value = value[None] if value.ndim == 3 else value
    if value.ndim == 4 and value.shape[-1] != _CHANNELS.get(key, value.shape[-1]):
        raise UserError(f"label {key!r} has {value.shape[-1]} channels; expected {_CHANNELS[key]}.")
    if key in _FLAGS:
        return _flags(key, value if how is None else _scaled(value, how) if how != "classes" else value)
    if how == "classes" or (how is None and value.dtype.kind != "f" and key not in _MEASURED):
        return _classes(key, value)
    if how is None and value.dtype.kind != "f":
        unit, example = _MEASURED[key]
        raise UserError(
            f"label {key!r} is stored as {value.dtype}: how many {unit} a step is, is not known; expected floats, "
            f"{unit}, or decode={{{key!r}: ...}}, the factor: {example}."
        )
    if how is None and key == "semantic":
        raise UserError(f"label {key!r} is stored as {value.dtype}; expected whole numbers, or 'classes' in decode.")
    return _numbers(key, value, how)


def as_numbers(key: str, value: np.ndarray) -> np.ndarray:
    """Whole numbers as floats, to be read beside floats; those whose unit only `how` can tell stay as they are."""
    return value if key in _MEASURED else value.astype(np.float64)


def _places(key: str, value: np.ndarray, numbers: int) -> np.ndarray:
    """Points or boxes, with an axis of frames: (s, K, numbers)."""
    if value.ndim not in (2, 3) or value.shape[-1] != numbers:
        what = "x and y in pixels" if numbers == 2 else "ymin, xmin, ymax and xmax in shares of the image"
        raise UserError(f"label {key!r} has shape {value.shape}; expected (K, {numbers}) or (s, K, {numbers}): {what}.")
    return value[None] if value.ndim == 2 else value


def _plain(key: str, value: np.ndarray) -> np.ndarray:
    if value.dtype.name == "bfloat16":
        return value.astype(np.float32)
    if value.dtype.kind not in "biuf":
        raise UserError(f"{key!r} holds {value.dtype}, not numbers.")
    return value


def _float32(key: str, value: np.ndarray) -> np.ndarray:
    if np.any(np.isfinite(value) & (np.abs(value) > np.finfo(np.float32).max)):
        raise UserError(f"{key!r} holds {value.dtype} beyond what float32 can hold.")
    return value.astype(np.float32)


def _scaled(value: np.ndarray, how: How) -> np.ndarray:
    factor, shift = how if isinstance(how, tuple | list) else (cast(float, how), 0)  # `checked` has no word come here
    return _float32("a decoded value", value.astype(np.float64) * factor + shift)


def _classes(key: str, value: np.ndarray) -> Example:
    """int32, not valid where negative; vectors and maps of several channels are valid throughout."""
    known = np.isfinite(value)
    if value.dtype.kind == "f":
        whole = np.where(known, value, value.dtype.type(-1))
    else:
        whole = value.astype(np.result_type(value, np.uint8))  # no bools
    if (whole != np.round(whole)).any() or whole.min() < _INT32.min or whole.max() > _INT32.max:
        raise UserError(f"label {key!r} holds {whole.min():g} .. {whole.max():g}; expected whole numbers of 32 bits.")
    if key == "segmentations":
        if whole.min() < 0 or whole.max() > 255:
            raise UserError(f"label {key!r} holds {whole.min():g} .. {whole.max():g}; expected objects 0 .. 255.")
        return {key: whole.astype(np.uint8)}
    whole = whole.astype(np.int32)
    if whole.ndim and whole.shape[-1] != 1:
        return {key: whole, f"{key}_valid": known.all(axis=-1, keepdims=True)}
    valid = whole >= 0
    return {key: np.where(valid, whole, 0) if whole.ndim else whole, f"{key}_valid": np.asarray(valid)}


def _flags(key: str, value: np.ndarray) -> Example:
    known = np.isfinite(value)
    value = np.where(known, value, 0)
    if not np.isin(value, (0, 1)).all():
        raise UserError(
            f"label {key!r} holds {value.min():g} .. {value.max():g}; expected 0 and 1, or decode={{{key!r}: ...}}, "
            "the factor that makes them so: 1 / 255 for black and white."
        )
    return {key: value.astype(np.uint8), f"{key}_valid": np.asarray(known)}


def _numbers(key: str, value: np.ndarray, how: How | None) -> Example:
    found = _float32(key, value) if how is None else _scaled(value, how)
    finite = np.isfinite(found)
    finite = finite.all(axis=-1, keepdims=True) if found.ndim > 1 else finite
    valid = np.asarray(finite)
    if key == "depth":
        valid = finite & (value > 0) & (found > 0)
    if key == "normal":
        found, valid = _unit(np.where(finite, found, 0), how)
    return {key: np.where(valid, found, np.float32(0)).astype(np.float32), f"{key}_valid": valid}


def _unit(normal: np.ndarray, how: How | None) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors, and where there are any."""
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    valid = length > 0.5
    off = np.median(np.abs(length[length > 1e-3] - 1)) if (length > 1e-3).any() else 0
    if np.abs(normal).max() > 1 + _UNIT or (off > _UNIT and how is None):
        raise UserError(
            f"normals hold {normal.min():g} .. {normal.max():g}, of lengths that differ from 1 by {off:.2g}; expected "
            "unit vectors, or decode={'normal': (factor, shift)}: (2, -1) for components stored in [0, 1]."
        )
    return normal / np.where(valid, length, 1), valid
