"""Pictures of boxes, with classes and scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mtljax.tasks.drawing.canvas import colour_of, painted
from mtljax.tasks.drawing.colours import palette

SHOWN = 0.3  # least score of what is drawn
COLOURS = palette(32)[1:]
_LETTERS = 3  # of a name, that are left at least
_BEYOND = 8  # pixels beyond a picture's edges, where nothing of a line is seen
_ROOM = 60  # pixels that a text may take beside a box that is narrower


def draw_boxes(
    images: np.ndarray,
    boxes: np.ndarray,
    score: np.ndarray,
    category: np.ndarray,
    *,
    scores: bool = False,
    names: Sequence[str] = (),
) -> np.ndarray:
    """Boxes in the colours of their classes, with the class's name, or its number, from 1, and the score.

    Args:
        images: (B, s, H, W, C).
        boxes: (B, s, K, 4), [x0, y0, x1, y1] in pixels.
        score: (B, s, K); less than 0.3 is not drawn.
        category: (B, s, K), from 0.
        scores: whether scores are written.
        names: of the classes by their numbers, that of none first; what they do not tell is numbered. A name is cut
            where it needs more room than its box and 60 pixels.

    Returns:
        (B, s, h, w, 3) uint8.
    """

    def paint(pen: Any, factor: int, at: tuple[int, int]) -> None:
        for one in np.flatnonzero((score[at] >= SHOWN) & np.isfinite(boxes[at]).all(axis=-1)):
            box, colour = within(pen, factor * boxes[at][one]), colour_of(int(category[at][one]), COLOURS)
            outline(pen, box, colour)
            number = int(category[at][one]) + 1
            name, said = str(names[number]) if number < len(names) else str(number), score[at][one]
            text = _cut(pen, name, f" {said:.2f}" if scores else "", max(_ROOM, abs(box[2] - box[0]) - 4))
            left = min(box[0] + 3, factor * images.shape[3] - pen.textlength(text))
            pen.text((max(left, 0), box[1] + 1), text, fill=colour)

    return painted(images, paint)


def _cut(pen: Any, name: str, end: str, room: float) -> str:
    """A name and what is said behind it, the name as long as there is room."""
    while len(name) > _LETTERS and pen.textlength(name + end) > room:
        name = name[:-1]
    return name + end


def within(pen: Any, box: np.ndarray) -> np.ndarray:
    """A box [x0, y0, x1, y1] as far as it can be seen: beyond a picture, edges take Pillow time and show nothing."""
    return np.clip(box, -_BEYOND, np.tile(pen.im.size, 2) + _BEYOND)


def outline(pen: Any, box: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Draws a box [x0, y0, x1, y1], whichever way round its corners are."""
    box = within(pen, box)
    low, high = np.minimum(box[:2], box[2:]), np.maximum(box[:2], box[2:])
    pen.rectangle((*low.tolist(), *high.tolist()), outline=colour, width=2)
