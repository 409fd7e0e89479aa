"""Changes of the images' colours: no label is touched."""

import functools
from collections.abc import Sequence

import numpy as np
from PIL import Image

from mtljax.data.augment.augmentation import Augmentation, checked
from mtljax.data.dataset import Example
from mtljax.errors import UserError

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_YIQ = np.array([_LUMA, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_RGB = np.linalg.inv(_YIQ)


def colour(brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0, hue: float = 0.0) -> Augmentation:
    """Changes brightness, contrast, saturation and hue, by amounts drawn once a clip, the same for all of its frames.

    All four are one affine map of a pixel's red, green and blue, rounded and cut off at the end alone: hue turns the
    colour about the axis of greys, in the plane of YIQ, so that a pixel keeps its luma; saturation and contrast move it
    away from or towards its own luma and that of the clip's mean; brightness multiplies it.

    Args:
        brightness: b; the factor is uniform from 1 - b to 1 + b.
        contrast: likewise.
        saturation: likewise.
        hue: h; the angle is uniform from -h to h, in turns.

    Raises:
        UserError: where one is not from 0 to 1, or hue not to 0.5; when applied, for images that are not RGB,
            of 8 bits or float32 in [0, 1].

    Example:
        >>> grey = {"image": np.full((1, 1, 2, 3), 100, np.uint8)}
        >>> print(colour(saturation=0.5, hue=0.1)(grey, np.random.default_rng(0))["image"][0, 0, 0])
        [100 100 100]
        >>> print(colour(brightness=0.5)(grey, np.random.default_rng(0))["image"][0, 0, 0])
        [114 114 114]
    """
    for name, value in (("brightness", brightness), ("contrast", contrast), ("saturation", saturation)):
        checked("colour", name, value, 0, 1)
    checked("colour", "hue", hue, 0, 0.5)
    text = f"colour({brightness}, {contrast}, {saturation}, {hue})"

    return Augmentation(text, functools.partial(_coloured, text, (brightness, contrast, saturation), hue))


def _coloured(text: str, amounts: tuple[float, ...], hue: float, example: Example, rng: np.random.Generator) -> Example:
    image = example["image"]
    whole = image.dtype == np.uint8
    if image.shape[-1] != 3 or not (whole or (image.dtype == np.float32 and image.min() >= 0 and image.max() <= 1)):
        raise UserError(
            f"{text}: expected RGB images of 8 bits, not {image.dtype} of {image.shape[-1]} channels, or float32 in "
            f"[0, 1], not {image.min():g} .. {image.max():g}: colours are changed before a data set normalises them."
        )
    brightness, contrast, saturation = 1 + np.array(amounts) * rng.uniform(-1, 1, 3)
    turns = hue * rng.uniform(-1, 1)
    matrix, to_shift = _affine(brightness, contrast, saturation, turns)
    if not whole:
        found = image @ matrix.T.astype(np.float32) + (to_shift @ image.mean(axis=(0, 1, 2))).astype(np.float32)
        return example | {"image": np.clip(found, 0, 1)}
    frames = [Image.fromarray(frame) for frame in image]
    shift = to_shift @ _mean(frames)
    rows = tuple(np.concatenate([matrix, shift[:, None]], axis=1).reshape(-1).tolist())
    return example | {"image": np.stack([np.asarray(frame.convert("RGB", rows)) for frame in frames])}


def _mean(frames: Sequence[Image.Image]) -> np.ndarray:
    """(3,): of all pixels, by counting."""
    counts = np.sum([frame.histogram() for frame in frames], axis=0).reshape(3, 256)
    return counts @ np.arange(256) / counts.sum(axis=1)


def _affine(brightness: float, contrast: float, saturation: float, turns: float) -> tuple[np.ndarray, np.ndarray]:
    """(3, 3), of a pixel's colour, and (3, 3), of the mean colour: the two products add up to the new colour."""
    cos, sin = np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)
    turn = _RGB @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ _YIQ
    to_luma = np.broadcast_to(_LUMA, (3, 3))
    # Neither of these moves the luma, nor so the grey that contrast is about.
    matrix = (saturation * np.eye(3) + (1 - saturation) * to_luma) @ turn
    return brightness * contrast * matrix, brightness * (1 - contrast) * to_luma
