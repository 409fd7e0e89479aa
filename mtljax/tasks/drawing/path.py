"""Pictures of camera paths."""

import itertools
from collections.abc import Sequence

import numpy as np

from mtljax.geometry import chain
from mtljax.tasks.task import Batch

_MARGIN = 0.1  # of the picture, on each side
_TRUE, _ESTIMATED = (255, 255, 255), (255, 140, 0)


def draw_paths(
    paths: Sequence[np.ndarray], colours: Sequence[tuple[int, int, int]], size: tuple[int, int]
) -> np.ndarray:
    """Camera paths seen from above, at one scale that fits them all: (h, w, 3) uint8 on black.

    To the right is x, upwards is z, where the first camera looks; a dot is a frame. Later paths lie on earlier ones.

    Args:
        paths: each (N, 3) positions, in the frame of one camera.
        colours: of each path, RGB.
        size: (h, w) of the picture.

    Example:
        >>> picture = draw_paths([np.array([[0.0, 0, 0], [0, 0, 1]])], [(255, 255, 255)], size=(11, 11))
        >>> print("".join("#" if row[5].any() else "." for row in picture))  # the middle column, from the top
        ###########
    """
    picture = np.zeros((*size, 3), np.uint8)
    seen = [np.asarray(path, np.float64)[:, [2, 0]] * np.array([-1, 1]) for path in paths]  # down and right
    low, high = (f(np.concatenate(seen), axis=0) for f in (np.min, np.max))
    room = (1 - 2 * _MARGIN) * (np.array(size) - 1)
    metres_a_pixel = np.max((high - low) / room) or 1.0
    for path, colour in zip(seen, colours, strict=True):
        dots = (path - (low + high) / 2) / metres_a_pixel + (np.array(size) - 1) / 2
        line = [np.linspace(a, b, 2 + int(np.abs(b - a).max())) for a, b in itertools.pairwise(dots)]
        around = (np.rint(dots)[:, None] + np.moveaxis(np.mgrid[-1:2, -1:2], 0, -1).reshape(-1, 2)).reshape(-1, 2)
        pixels = np.rint(np.concatenate([*line, around])).astype(int)
        pixels = pixels[((pixels >= 0) & (pixels < size)).all(axis=1)]
        picture[pixels[:, 0], pixels[:, 1]] = colour
    return picture


def draw_clips(prediction: np.ndarray, batch: Batch, label: str) -> tuple[np.ndarray, np.ndarray]:
    """For each clip the true path and the estimated one on it, from the same start; and the true path at that scale.

    Args:
        prediction: (B, s, 6) motions.
        batch: with `image` (B, s, H, W, C), `label` and its mask.
        label: batch key of the true motions.

    Returns:
        Two pictures for every frame of a clip, all frames' alike: (B, s, H, W, 3) uint8.
    """
    frames, size = batch["image"].shape[1], batch["image"].shape[2:4]
    valid = np.asarray(batch[f"{label}_valid"], bool)[..., 0]
    pictures = []
    for p, g, known in zip(np.asarray(prediction), np.asarray(batch[label]), valid, strict=True):
        length = frames if known.all() else int(np.argmin(known))  # up to the first pair that is not known
        p, g = (chain(np.nan_to_num(x[:length], posinf=0, neginf=0))[:, :3, 3] for x in (p, g))
        # At the same scale; black does not show.
        pictures.append((draw_paths([g, p], [_TRUE, _ESTIMATED], size), draw_paths([p, g], [(0, 0, 0), _TRUE], size)))
    both, true = (np.repeat(np.stack(x)[:, None], frames, axis=1) for x in zip(*pictures, strict=True))
    return both, true
