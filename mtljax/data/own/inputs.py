"""What a model is given: a picture in any form that people have it in, a vector of features, a tree of arrays."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from mtljax.data.check import channels_first, channels_last
from mtljax.data.dataset import Example
from mtljax.data.own.kinds import as_array, is_missing
from mtljax.data.reading import decoding, images
from mtljax.errors import UserError


def image_of(key: str, value: Any, how: decoding.How | None = None, first: bool = False) -> Example:
    """`image` of an example: (s, H, W, 3), or (F,) float32 of a vector.

    Args:
        key: the name that a row has it by.
        value: a picture of Pillow, a file name, or an array: (H, W), (H, W, C), (s, H, W, C) or (F,). Grey is repeated.
        how: to read numbers, see `decoding`.
        first: whether an array has its channels before height and width.

    Raises:
        UserError: where there is none, or none whose looks are known: transparent pixels, numbers out of range.

    Example:
        >>> image_of("photo", Image.new("L", (6, 4)))["image"].shape
        (1, 4, 6, 3)
    """
    if is_missing(value):
        raise UserError(f"{key!r} is missing; expected a picture: only labels may be.")
    if isinstance(value, str | os.PathLike):
        return {"image": images.read_image(value)}
    if isinstance(value, Image.Image) and how is None:
        return {"image": images.colour_of(value, getattr(value, "filename", "") or key)[None]}
    array = as_array(key, value)
    if array.ndim == 1:
        return {"image": _numbers(key, array, np.float32)}
    if array.ndim < 1:
        raise UserError(f"{key!r} is the number {array}; expected a picture or a vector of features.")
    if first and array.ndim > 2:
        array = np.moveaxis(array, -3, -1)
    elif channels_first(array.shape) and how is None:
        raise UserError(
            f"{key!r} has shape {array.shape}, which looks like channels first; expected {channels_last(array.shape)}, "
            "or channels_first=True."
        )
    return decoding.image(array, how)


def tree_of(keys: Sequence[str], row: Mapping[str, Any]) -> Example:
    """`inputs` of an example: key -> array, float32 of floats and int32 of whole numbers.

    Raises:
        UserError: for what is missing, or no number.

    Example:
        >>> tree_of(["age", "words"], {"age": 3.5, "words": [2, 7]})
        {'inputs': {'age': array(3.5, dtype=float32), 'words': array([2, 7], dtype=int32)}}
    """
    found = {}
    for key in keys:
        if is_missing(row.get(key)):
            raise UserError(f"{key!r} is missing; expected numbers: only labels may be.")
        array = as_array(key, row[key])
        found[key] = _numbers(key, array, np.float32 if array.dtype.kind not in "biu" else np.int32)
    return {"inputs": found}


def _numbers(key: str, array: np.ndarray, wanted: Any) -> np.ndarray:
    """The numbers in another dtype that can hold them."""
    if not np.isfinite(array).all():
        raise UserError(f"{key!r} holds numbers that are not finite; expected finite ones: only labels may be missing.")
    limit = np.iinfo(wanted).max if wanted == np.int32 else np.finfo(wanted).max
    if array.size and np.abs(array.astype(np.float64)).max() > limit:
        raise UserError(f"{key!r} holds {array.dtype} beyond what {np.dtype(wanted)} can hold.")
    return array.astype(wanted)
