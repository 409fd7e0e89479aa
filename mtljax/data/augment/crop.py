"""A window of the image, at its size."""

import functools
from collections.abc import Mapping

import numpy as np

from mtljax.data.augment.augmentation import Augmentation, checked_size
from mtljax.data.dataset import Example
from mtljax.data.window import Window, shown
from mtljax.errors import UserError


def crop(height: int, width: int) -> Augmentation:
    """A window of height x width pixels, at a place drawn once a clip.

    The intrinsics' centre moves with it; flow may point out of it, as it may point out of the image.

    Raises:
        UserError: for sizes that are none; when applied, for a smaller image.

    Example:
        >>> camera = {"intrinsics": np.array([[9.0, 0, 4], [0, 9, 4], [0, 0, 1]])}
        >>> example = {"image": np.zeros((1, 8, 8, 3), np.uint8), "camera": camera}
        >>> cropped = crop(2, 8)(example, np.random.default_rng(0))
        >>> cropped["image"].shape, float(cropped["camera"]["intrinsics"][1, 2])
        ((1, 2, 8, 3), -1.0)
    """
    size = checked_size("crop", height, width)
    text = f"crop({height}, {width})"
    return Augmentation(text, functools.partial(_cropped, text, size), by_kind=True)


def _cropped(
    text: str, size: tuple[int, int], example: Example, rng: np.random.Generator, kinds: Mapping[str, str]
) -> Example:
    (height, width), (h, w) = size, example["image"].shape[1:3]
    if height > h or width > w:
        raise UserError(f"{text}: an image is only {h} x {w} pixels, height x width.")
    top, left = (int(rng.integers(0, spare + 1)) for spare in (h - height, w - width))
    return shown(example, Window(top, left, height, width, size), kinds)
