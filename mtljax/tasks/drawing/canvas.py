"""Images large enough to be drawn on, frame by frame."""

from collections.abc import Callable
from typing import Any

import numpy as np

_LEAST = 192  # pixels of the longer side, so that a line and a number can be seen
_DIM = 0.6  # of an image below what is drawn


def painted(images: np.ndarray, paint: Callable[[Any, int, tuple[int, int]], None], dim: float = _DIM) -> np.ndarray:
    """Clips with something drawn on each frame.

    Args:
        images: (B, s, H, W, C), in [0, 1] or else stretched to it; of one channel, or three.
        paint: `(pen, factor, (clip, frame))`, draws with a Pillow pen; a pixel of the image is factor x factor.
        dim: what images are multiplied by.

    Returns:
        (B, s, factor H, factor W, 3) uint8.

    Example:
        >>> painted(np.zeros((1, 2, 8, 64, 3)), lambda pen, factor, at: pen.line((0, 0, factor, 0))).shape
        (1, 2, 24, 192, 3)
    """
    from PIL import Image, ImageDraw

    batch, frames, height, width = images.shape[:4]
    factor = max(1, round(_LEAST / max(height, width)))
    shades = np.nan_to_num(images if images.shape[-1] in (1, 3) else images[..., :1])
    low, high = shades.min(initial=0), shades.max(initial=1)
    shades = np.broadcast_to((shades - low) / (high - low), (*images.shape[:4], 3))
    found = np.zeros((batch, frames, factor * height, factor * width, 3), np.uint8)
    for at in np.ndindex(batch, frames):
        large = np.repeat(np.repeat((255 * dim * shades[at]).astype(np.uint8), factor, axis=0), factor, axis=1)
        picture = Image.fromarray(large)
        paint(ImageDraw.Draw(picture), factor, (at[0], at[1]))
        found[at] = np.asarray(picture)
    return found


def colour_of(number: int, colours: np.ndarray) -> tuple[int, int, int]:
    """The colour of a number, which comes again when there are no more.

    Example:
        >>> colour_of(3, np.array([[1, 1, 1], [2, 2, 2]]))
        (2, 2, 2)
    """
    red, green, blue = (int(c) for c in colours[number % len(colours)])
    return red, green, blue
