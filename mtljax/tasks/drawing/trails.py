"""Pictures of tracks: boxes with their ids, and where their centres were before."""

from typing import Any

import numpy as np

from mtljax.tasks.drawing.boxes import COLOURS, outline, within
from mtljax.tasks.drawing.canvas import colour_of, painted


def draw_tracks(images: np.ndarray, boxes: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Tracks up to each frame, each in a colour of its own.

    Args:
        images: (B, s, H, W, C).
        boxes: (B, s, K, 4), [x0, y0, x1, y1] in pixels.
        ids: (B, s, K) integers, 0 for none.

    Returns:
        (B, s, h, w, 3) uint8.
    """

    def paint(pen: Any, factor: int, at: tuple[int, int]) -> None:
        clip, frame = at
        for one in np.unique(ids[clip, : frame + 1]):
            when, slot = np.nonzero(ids[clip, : frame + 1] == one)
            own, colour = factor * np.asarray(boxes, np.float64)[clip, when, slot], colour_of(int(one), COLOURS)
            if one == 0 or not np.isfinite(own).all():
                continue
            trail = (own[:, :2] + own[:, 2:]) / 2
            if len(trail) > 1:
                pen.line([tuple(place) for place in trail.tolist()], fill=colour, width=2)
            if when[-1] == frame:
                outline(pen, own[-1], colour)
                left, top = within(pen, own[-1])[:2]
                pen.text((left + 3, top + 1), str(int(one)), fill=colour)

    return painted(images, paint)
