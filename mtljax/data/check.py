"""Whether a data set gives examples in the form of `mtljax.data.dataset`: all that is wrong with one, told at once."""

import concurrent.futures
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from mtljax.data.check_objects import object_faults
from mtljax.data.dataset import BETWEEN, SPLITS, DataSet, Example, Source
from mtljax.data.forms import CAMERA, FORMS, form, is_array, no_array, of_form
from mtljax.data.kinds import fields
from mtljax.data.meanings import Meaning, meanings
from mtljax.errors import UserError, nearest

_MOST, _LEAST = 64, 8  # examples looked at
_NUMBERS = 2**24  # of images, beyond which fewer examples are looked at
_CHANNELS = (1, 3, 4)
_UNIT = 1e-2  # by which lengths of normals and quaternions may differ from 1
_UNMASKED = ("image", "inputs", "camera", "segmentations", "objects_valid")


class Reads(Protocol):
    """What reads labels, such as a task."""

    @property
    def labels(self) -> Sequence[str]:
        """Their names."""
        ...


def check(data: DataSet | Source, tasks: Mapping[str, Reads] | None = None, threads: int = 2) -> None:
    """Looks at up to 64 examples of a data set, or of a source: keys, shapes, dtypes, masks and ranges.

    Args:
        data: a data set, of which `train` and `validation` are looked at, or a source of examples.
        tasks: name -> task: then the labels that they read must be there.
        threads: that read examples.

    Raises:
        UserError: with all faults of the first example that has some: its index, and key by key what is wrong and what
            was expected. An example that differs from the first one in keys or shapes is at fault too.

    Example:
        >>> example = {"image": np.zeros((1, 4, 6, 3), np.uint8), "depth": np.ones((1, 4, 6)), "depth_valid": True}
        >>> check([example])
        Traceback (most recent call last):
        mtljax.errors.UserError: the source, example 0:
          depth: float64; expected float32
          depth: shape (1, 4, 6); expected (s, H, W, 1) = (1, 4, 6, 1)
          depth_valid: bool, no array; expected an array of NumPy
    """
    if not isinstance(data, DataSet):
        return _check_source(data, "the source", {}, tasks or {}, threads)
    for split in SPLITS:
        _check_source(data.split(split), f"{data.name}, {split}", meanings(data), tasks or {}, threads)


def _check_source(
    source: Source, where: str, said: Mapping[str, Meaning], tasks: Mapping[str, Reads], threads: int
) -> None:
    if len(source) == 0:
        raise UserError(f"{where} has no examples.")
    indices, examples = sampled(source, threads)
    for index, example in zip(indices, examples, strict=True):
        told = list(faults(example, said, tasks)) or list(_differences(examples[0], example))
        if told:
            raise UserError("\n  ".join([f"{where}, example {index}:", *told]))


def sampled(source: Source, threads: int) -> tuple[np.ndarray, list[Example]]:
    """Up to 64 examples spread over a source, of large images at least 8: their indices, and themselves."""
    first = source[0]
    size = np.size(first["image"]) if isinstance(first, Mapping) and "image" in first else 1
    number = int(np.clip(_NUMBERS // max(1, size), _LEAST, _MOST))
    chosen = np.unique(np.linspace(0, len(source) - 1, number).astype(int))
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return chosen, list(pool.map(source.__getitem__, map(int, chosen)))


def faults(
    example: Any, said: Mapping[str, Meaning] | None = None, tasks: Mapping[str, Reads] | None = None
) -> Iterator[str]:
    """What is wrong with one example, as `key: what; what was expected`.

    Args:
        example: of a source.
        said: what its labels mean: classes must be among the names of a tuple.
        tasks: name -> task, whose labels must be there.

    Example:
        >>> list(faults({"image": np.zeros((1, 4, 6, 3), np.uint8), "kind": np.int32(2)}))
        ['kind: has no mask; expected kind_valid']
    """
    if not isinstance(example, Mapping):
        yield f"{type(example).__name__}; expected a dict of arrays"
        return
    if "image" not in example and "inputs" not in example:
        yield "image: is not there"
    for name, task in (tasks or {}).items():
        for label in task.labels:
            if label not in example:
                near = nearest(label, example)
                yield f"{label}: is not there, and task {name!r} reads it{f'; did you mean {near!r}?' if near else ''}"
    image = example.get("image")
    frames: Sequence[int] = ()
    if isinstance(image, np.ndarray) and image.ndim == 4 and not channels_first(image.shape):
        frames = image.shape[:3]
    for key, value in example.items():
        if key == "image":
            told = _of_image(value)
        elif key == "inputs":
            told = ()
        elif key == "camera":
            told = _of_camera(value, frames)
        elif key.endswith("_valid") and key.removesuffix("_valid") in example:
            told = _of_mask(key, value, example[key.removesuffix("_valid")], frames)
        else:
            told = _of_label(key, value, example, frames, (said or {}).get(key))
            told = [*told, *(object_faults(example, frames) if key == "instances" else ())]
        yield from (f"{key}: {one}" for one in told)


def _of_image(image: Any) -> Iterator[str]:
    if not is_array(image):
        yield no_array(image)
        return
    if image.dtype.name not in ("uint8", "float32"):
        yield f"{image.dtype}; expected uint8, or float32"
    if image.ndim == 4 and channels_first(image.shape):
        yield f"shape {image.shape}, which looks like channels first; expected {channels_last(image.shape)}"
    elif image.ndim not in (1, 4) or (image.ndim == 4 and image.dtype == np.uint8 and image.shape[-1] != 3):
        channels = 3 if image.dtype == np.uint8 else "C"
        yield f"shape {image.shape}; expected (s, H, W, {channels}), or (F,) of a vector"
    if image.dtype.kind == "f" and image.size:
        if not np.isfinite(image).all():
            yield "holds numbers that are not finite"
        elif image.ndim == 4 and image.min() >= 0 and 64 <= image.max() <= 255 and image.mean() > 3:
            yield f"{image.dtype} up to {image.max():g}, which looks like 8 bits; expected uint8, or floats of [0, 1]"


def _of_camera(camera: Any, frames: Sequence[int]) -> Iterator[str]:
    if not isinstance(camera, Mapping):
        yield f"{type(camera).__name__}; expected a dict of {', '.join(CAMERA)}"
        return
    for key in camera.keys() & CAMERA.keys():
        value = camera[key]
        wrong = list(of_form(value, CAMERA[key], "float32", frames))
        yield from (f"{key}: {one}" for one in wrong or _of_part(key, value))


def _of_part(key: str, value: np.ndarray) -> Iterator[str]:
    """What is wrong with the numbers of a part of a camera."""
    if not np.isfinite(value).all():
        yield "holds numbers that are not finite"
    elif key == "quaternions" and np.abs(np.linalg.norm(value, axis=-1) - 1).max() > _UNIT:
        yield "is of another length than 1"
    elif key == "intrinsics" and (min(value[0, 0], value[1, 1]) <= 0 or (value[2] != [0, 0, 1]).any()):
        yield f"is {value.tolist()}; expected (fx, 0, cx), (0, fy, cy), (0, 0, 1)"


def _of_mask(key: str, mask: Any, label: Any, frames: Sequence[int]) -> Iterator[str]:
    if not is_array(mask):
        yield no_array(mask)
        return
    if mask.dtype != np.bool_:
        yield f"{mask.dtype}; expected bool"
    if not isinstance(label, Mapping) and not list(of_form(label, *form(key.removesuffix("_valid")), frames)):
        shape = np.shape(label)
        masks = [shape] if shape == () or key == "frame_index_valid" else [(*shape[:-1], 1), shape]
        if mask.shape not in masks:
            yield f"shape {mask.shape}; expected {masks[0]}"


def _of_label(
    key: str, label: Any, example: Mapping[str, Any], frames: Sequence[int], meaning: Meaning | None
) -> Iterator[str]:
    if key.endswith("_valid") and key not in FORMS:
        yield f"has no label; expected {key.removesuffix('_valid')}"
        return
    if key not in _UNMASKED and f"{key}_valid" not in example:
        yield f"has no mask; expected {key}_valid"
    if isinstance(label, Mapping):
        return
    wrong = list(of_form(label, *form(key), frames))
    yield from wrong
    mask = example.get(f"{key}_valid", np.ones(np.shape(label), bool))
    if not wrong and not list(_of_mask(f"{key}_valid", mask, label, frames)):
        yield from _of_values(key, np.asarray(label), np.asarray(mask), meaning)


def _of_values(key: str, label: np.ndarray, mask: np.ndarray, meaning: Meaning | None) -> Iterator[str]:
    """What is wrong with the numbers of a label whose shape, dtype and mask are right."""
    if not finite_where_valid(label, mask):
        yield "holds numbers that are not finite where it is valid"
        return
    if label.ndim and np.any(np.where(mask, 0, label)):
        yield "is not 0 where it is not valid"
    there = label[np.broadcast_to(mask, label.shape)]
    if not there.size:
        return
    low, high = there.min(), there.max()
    if key == "depth" and low <= 0:
        yield f"is {low:g} where it is valid; expected metres above 0"
    if key in ("edge", "moving") and high > 1:
        yield f"is {high} somewhere; expected 0 and 1"
    if key == "normal" and np.abs(np.linalg.norm(there.reshape(-1, 3), axis=-1) - 1).max() > _UNIT:
        yield "is of another length than 1 where it is valid"
    if isinstance(meaning, tuple) and label.dtype.kind in "iu" and not 0 <= low <= high < len(meaning):
        yield f"is {low} .. {high}; expected classes 0 .. {len(meaning) - 1}, of {len(meaning)} names"
    elif key == "semantic" and low < 0:
        yield f"is {low} where it is valid; expected classes from 0"
    if key in BETWEEN and mask[BETWEEN[key]].any():
        yield f"is valid on the {'last' if BETWEEN[key] else 'first'} frame, which has no frame beyond it"
    if key == "frame_index" and mask.all() and (np.diff(label) != 1).any():
        yield f"is {label.tolist()}; expected consecutive numbers"


def _differences(first: Example, other: Example) -> Iterator[str]:
    """In what keys and shapes an example differs from the first one, so that they make no batch."""
    first, other = (_inputs(x) | {field.path: field.value for field in fields(x)} for x in (first, other))
    for key in sorted(first.keys() ^ other.keys()):
        yield f"{key}: is {'not there' if key in first else 'there'}, unlike in example 0"
    for key in first:
        if key in other and np.shape(first[key]) != np.shape(other[key]):
            yield f"{key}: shape {np.shape(other[key])}; example 0 has {np.shape(first[key])}"


def _inputs(example: Example) -> Example:
    return {key: example[key] for key in ("image", "inputs") if key in example}


def finite_where_valid(label: Any, valid: Any) -> bool:
    """Whether a label is finite where its mask is True.

    Example:
        >>> finite_where_valid(np.array([1.0, np.nan]), np.array([True, False]))
        True
    """
    if isinstance(label, dict) or not np.issubdtype(np.asarray(label).dtype, np.floating):
        return True
    finite, valid = np.isfinite(label), np.asarray(valid, bool)
    if valid.ndim < finite.ndim:
        valid = valid.reshape(valid.shape + (1,) * (finite.ndim - valid.ndim))
    return bool(np.all(finite | ~valid))


def channels_first(shape: tuple[int, ...]) -> bool:
    """Whether an image of a shape (..., H, W, C) seems to have its channels first."""
    return len(shape) >= 3 and shape[-3] in _CHANNELS and min(shape[-2:]) > max(_CHANNELS)


def channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of an image with channels first, once they are last."""
    return (*shape[:-3], *shape[-2:], shape[-3])
