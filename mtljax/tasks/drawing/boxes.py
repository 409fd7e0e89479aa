"""Pictures of boxes, with classes and scores."""

from typing import Any

import numpy as np

from mtljax.tasks.drawing.canvas import colour_of, painted
from mtljax.tasks.drawing.colours import palette

SHOWN = 0.3  # least score of what is drawn
COLOURS = palette(32)[1:]


def draw_boxes(
    images: np.ndarray, boxes: np.ndarray, score: np.ndarray, category: np.ndarray, *, scores: bool = False
) -> np.ndarray:
    """Boxes in the colours of their classes, with the class's number, from 1, and the score.

    Args:
        images: (B, s, H, W, C).
        boxes: (B, s, K, 4), [x0, y0, x1, y1] in pixels.
        score: (B, s, K); less than 0.3 is not drawn.
        category: (B, s, K), from 0.
        scores: whether scores are written.

    Returns:
        (B, s, h, w, 3) uint8.
    """

    def paint(pen: Any, factor: int, at: tuple[int, int]) -> None:
        for one in np.flatnonzero((score[at] >= SHOWN) & np.isfinite(boxes[at]).all(axis=-1)):
            box, colour = factor * boxes[at][one], colour_of(int(category[at][one]), COLOURS)
            outline(pen, box, colour)
            text = str(int(category[at][one]) + 1) + (f" {score[at][one]:.2f}" if scores else "")
            pen.text((box[0] + 3, box[1] + 1), text, fill=colour)

    return painted(images, paint)


def outline(pen: Any, box: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Draws a box [x0, y0, x1, y1], whichever way round its corners are."""
    low, high = np.minimum(box[:2], box[2:]), np.maximum(box[:2], box[2:])
    pen.rectangle((*low.tolist(), *high.tolist()), outline=colour, width=2)
