"""Images as people have them, as the examples that a network takes; and maps back at an image's own size."""

import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from PIL import Image

from mtljax.data.pipeline import in_unit_range
from mtljax.data.reading import images as reading
from mtljax.data.resize import resized
from mtljax.errors import UserError
from mtljax.serving.network import Example, Network

_SLACK = 1e-3  # beyond [0, 1], for what was computed
_GREY = (0.299, 0.587, 0.114)  # of ITU-R BT.601, as Pillow has it


def photograph(file: str | os.PathLike) -> np.ndarray:
    """(h, w, 3) uint8 of a JPEG or PNG, turned as its EXIF tag says.

    Raises:
        UserError: where it does not decode, or has no certain colours.
    """
    return reading.colour_of(reading.decoded(pathlib.Path(file).expanduser()), file)


def clips_in(network: Network, images: Any) -> Iterator[np.ndarray]:
    """Each image, or clip, as (s, h, w, C) of its own size.

    Args:
        network: which takes them.
        images: an array (N, H, W, C), or (N, s, H, W, C); one image or clip without the first axis; or a list of
            arrays, Pillow's images or file names, of any sizes.

    Raises:
        UserError: for another shape, or another number of frames.
    """
    frames = _frames(network)
    is_array = hasattr(images, "ndim")
    if images.ndim == _rank(frames) if is_array else isinstance(images, str | os.PathLike | Image.Image):
        images = [images]
    if not is_array and not isinstance(images, Sequence):
        raise UserError(f"images of type {type(images).__name__}; expected an array, or a list of images.")
    for i, image in enumerate(images):
        yield _clip(image, frames, f"image {i}")


def example_of(network: Network, clip: np.ndarray) -> Example:
    """A clip (s, h, w, C) of any size as the network takes it: at the size, and in the values, of the run's data.

    Raises:
        UserError: for other channels, or values that are not those of the run's data.
    """
    wanted = network.given["image"].shape
    clip = with_channels(clip, wanted[-1])
    _check_values(network, clip)
    if clip.dtype != np.uint8:
        clip = clip.astype(np.float32)
    return {"image": resized({"image": clip}, wanted[1:3])["image"]}


def check_photographs(network: Network) -> None:
    """Raises a `UserError` where photographs cannot be what a network takes."""
    frames = _frames(network)
    leaf = network.inputs["given"]["image"]
    if leaf["dtype"] != "uint8" and not _in_unit_range(leaf):
        raise UserError(
            f"the images of this run hold {leaf['dtype']} from {leaf['low']:g} to {leaf['high']:g}, as its data set "
            "makes them, and files hold 8 bits; in Python: mtl.load(workdir).predict(arrays)."
        )
    if leaf["shape"][-1] not in (1, 3):
        raise UserError(f"the images of this run have {leaf['shape'][-1]} channels ({frames} frames); files have 3.")


def arrays_in(network: Network, given: Any) -> list[Example]:
    """Vectors, or trees of arrays with a first axis for examples, as examples.

    Raises:
        UserError: where they are not of the shapes that the run was given.
    """
    key = "image" if "image" in network.given else "inputs"
    wanted = network.given[key]
    if not isinstance(given, Mapping):
        given = jax.tree.unflatten(jax.tree.structure(wanted), [given]) if len(jax.tree.leaves(wanted)) == 1 else given
    if jax.tree.structure(given) != jax.tree.structure(wanted):
        raise UserError(f"inputs of structure {jax.tree.structure(given)}; expected {jax.tree.structure(wanted)}.")
    given = jax.tree.map(np.asarray, given)
    sizes = {len(x) if x.ndim else 0 for x in jax.tree.leaves(given)}
    for x, leaf in zip(jax.tree.leaves(given), jax.tree.leaves(wanted), strict=True):
        if x.shape[1:] != leaf.shape or len(sizes) > 1:
            raise UserError(f"inputs of shape {x.shape}; expected {('N', *leaf.shape)}: N examples.")
        if not np.can_cast(x.dtype, leaf.dtype, "same_kind"):
            raise UserError(f"inputs of dtype {x.dtype}; expected {leaf.dtype}.")
        if leaf.dtype.kind in "iu" and x.size:
            _check_range(x, leaf.dtype)
    if key == "image" and network.inputs["given"][key]["dtype"] == "uint8" and given.size:
        _check_values(network, given)
        given = in_unit_range({key: given})[key]
    given = jax.tree.map(_cast, given, wanted)
    return [{key: jax.tree.map(lambda x, i=i: x[i], given)} for i in range(sizes.pop())]


def _check_range(x: np.ndarray, dtype: Any) -> None:
    """Raises a `UserError` for whole numbers that a type cannot hold."""
    known = np.iinfo(dtype)
    if x.min() < known.min or x.max() > known.max:
        raise UserError(f"inputs hold {x.min()} to {x.max()}; expected {dtype}, {known.min} to {known.max}.")


def _cast(x: np.ndarray, leaf: Any) -> np.ndarray:
    with np.errstate(over="ignore"):
        found = x.astype(leaf.dtype)
    if leaf.dtype.kind == "f" and (np.isinf(found) & ~np.isinf(x)).any():
        raise UserError(f"inputs hold {x.min()} to {x.max()}; expected numbers that {leaf.dtype} can hold.")
    return found


def with_channels(clip: np.ndarray, channels: int) -> np.ndarray:
    """A clip (..., C) with other channels: grey is repeated, and colours are made grey.

    Raises:
        UserError: where neither leads there.
    """
    if clip.shape[-1] == channels:
        return clip
    if clip.shape[-1] == 1 and channels == 3:
        return np.repeat(clip, 3, axis=-1)
    if clip.shape[-1] == 3 and channels == 1:
        grey = (clip.astype(np.float32) @ np.array(_GREY, np.float32))[..., None]
        return np.rint(grey).astype(np.uint8) if clip.dtype == np.uint8 else grey
    raise UserError(f"images of {clip.shape[-1]} channels; expected {channels}, as the run was given.")


def at_size(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps (s, h, w, C) of floats at another height and width: linear where they grow, means where they shrink."""
    return resized({"image": np.asarray(maps, np.float32)}, size)["image"]


def nearest(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps (s, h, w, ...) at another height and width, each pixel that which lies nearest: of ids, and of pictures.

    Example:
        >>> print(nearest(np.array([[[1, 2]]]), (1, 4)))
        [[[1 1 2 2]]]
    """
    rows, columns = ((2 * np.arange(n) + 1) * m // (2 * n) for n, m in zip(size, maps.shape[1:3], strict=True))
    return maps[:, rows][:, :, columns]


def _frames(network: Network) -> int:
    if network.frames is None:
        shapes = jax.tree.map(lambda x: x.shape, network.given)
        raise UserError(
            f"this run is given no images but {shapes} an example; in Python: mtl.load(workdir).predict(arrays)."
        )
    return network.frames


def _rank(frames: int) -> int:
    """The axes of one image, or of one clip."""
    return 3 if frames == 1 else 4


def _clip(image: Any, frames: int, name: str) -> np.ndarray:
    if isinstance(image, str | os.PathLike):
        image = photograph(image)
    elif isinstance(image, Image.Image):
        image = reading.colour_of(image, name)
    elif isinstance(image, list | tuple) and frames > 1:
        image = _stacked([_clip(frame, 1, name)[0] for frame in image], name)
    try:
        image = np.asarray(image)
    except ValueError as error:
        raise UserError(f"{name} is no array: {error}") from error
    image = image[None] if image.ndim == 3 else image
    if image.ndim != 4 or len(image) != frames:
        wanted = "(H, W, C)" if frames == 1 else f"({frames}, H, W, C), a clip of {frames} frames"
        raise UserError(f"{name} has shape {image.shape}; expected {wanted}.")
    return image


def _stacked(images: Sequence[np.ndarray], name: str) -> np.ndarray:
    sizes = {image.shape for image in images}
    if len(sizes) != 1:
        raise UserError(f"{name}: frames of shapes {sorted(sizes)}; expected those of a clip, all of one size.")
    return np.stack(images)


def _check_values(network: Network, clip: np.ndarray) -> None:
    leaf = network.inputs["given"]["image"]
    if clip.dtype.kind == "f" and np.isfinite(clip).all():
        if not _in_unit_range(leaf) or (clip.min() >= -_SLACK and clip.max() <= 1 + _SLACK):
            return
        raise UserError(f"images hold {clip.min():g} to {clip.max():g}; expected uint8, or floats in [0, 1].")
    if clip.dtype != np.uint8:
        raise UserError(f"images of dtype {clip.dtype}, or not finite; expected uint8, or finite floats in [0, 1].")
    if not _in_unit_range(leaf):
        raise UserError(
            f"images of 8 bits; the run was given floats from {leaf['low']:g} to {leaf['high']:g}: expected such."
        )


def _in_unit_range(leaf: Mapping[str, Any]) -> bool:
    return leaf["dtype"] == "uint8" or (leaf["low"] >= -_SLACK and leaf["high"] <= 1 + _SLACK)
