"""Numbers and names as a picture, for what has no place in an image."""

from collections.abc import Sequence
from typing import Any

import numpy as np

_LEAST = (64, 96)  # pixels, so that a line can be read
_LINES, _DIGITS = 12, 4
_TEXT, _BAR, _GROUND = (255, 255, 255), (70, 110, 160), (24, 24, 24)
Line = tuple[str, float]


def written(lines: Sequence[Line], size: tuple[int, int]) -> np.ndarray:
    """Lines of text, each on a bar: (h, w, 3) uint8, at least 64 x 96. What does not fit is told in the last line.

    Args:
        lines: each a text, and the share of the width that its bar has.
        size: (h, w) of the picture, if it is large enough.

    Example:
        >>> written([("owl", 1.0), ("finch", 0.25)], (32, 32)).shape
        (64, 96, 3)
    """
    from PIL import Image, ImageDraw, ImageFont

    height, width = (max(a, b) for a, b in zip(size, _LEAST, strict=True))
    shown = [*lines[: _LINES - 1], (f"... {len(lines)} in all", 0.0)] if len(lines) > _LINES else list(lines)
    picture = Image.new("RGB", (width, height), _GROUND)
    pen, step = ImageDraw.Draw(picture), height / max(len(shown), 3)
    font = ImageFont.load_default()
    for i, (text, share) in enumerate(shown):
        top = i * step
        if share > 0:
            pen.rectangle((0, top + 1, (width - 1) * min(share, 1.0), top + step - 2), fill=_BAR)
        pen.text((3, top + max(0, step / 2 - 6)), text, fill=_TEXT, font=font)
    return np.asarray(picture)


def clips_of(lines: Sequence[Sequence[Line]], image: Any) -> np.ndarray:
    """One picture for each example, the same for all frames of its clip: (B, s, h, w, 3) uint8.

    Args:
        lines: of each example.
        image: the batch's (B, s, H, W, C), whose size pictures have where it is large enough; vectors (B, F), or None.
    """
    shape = np.shape(image) if image is not None else ()
    frames, size = (shape[1], (shape[2], shape[3])) if len(shape) == 5 else (1, _LEAST)
    return np.stack([np.repeat(written(one, size)[None], frames, axis=0) for one in lines])


def number_text(value: float) -> str:
    """A number of four digits; a word for what is none.

    Example:
        >>> number_text(41.23456), number_text(float("nan"))
        ('41.23', 'no number')
    """
    return f"{value:.{_DIGITS}g}" if np.isfinite(value) else "no number"
