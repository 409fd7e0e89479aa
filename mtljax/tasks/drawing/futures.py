"""Pictures of predicted paths: all modes, over the true ones."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mtljax.geometry.rotations import rotation_from
from mtljax.tasks.drawing.boxes import COLOURS, SHOWN
from mtljax.tasks.drawing.canvas import colour_of, painted

_TRUE = (255, 255, 255)
_NEAR = 0.05  # metres
_FAINT = 0.45  # of the colour of modes but the likeliest


def draw_futures(
    batch: Mapping[str, Any], space: str, decoded: Mapping[str, np.ndarray], true: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Paths on the image of the frame that they begin in; in the world at the height of their objects.

    Args:
        batch: with `image` (B, s, H, W, C); in the world `camera`, and `instances` with positions.
        space: `world` or `image`.
        decoded: `paths` (B, s, K, k, T, 2) relative to `last` (B, s, K, 3), `logits` (B, s, K, k), `ids` and `score`.
        true: places (B, s, M, 2), paths (B, s, M, T, 2) and what is known of them (B, s, M, T).

    Returns:
        Predicted paths over the true ones in white, the likeliest mode bright; and the true ones: two pictures
        (B, s, h, w, 3) uint8.
    """
    places, paths, known = (np.asarray(x) for x in true)
    heights = _heights(batch, places, space)

    def label(pen: Any, factor: int, at: tuple[int, int]) -> None:
        for one in np.flatnonzero(known[at].any(axis=-1)):
            path = np.concatenate([places[at][one][None], paths[at][one][known[at][one]]])
            _line(pen, factor, _seen(batch, space, at, path, heights[at][one]), _TRUE)

    def predicted(pen: Any, factor: int, at: tuple[int, int]) -> None:
        label(pen, factor, at)
        if not known[at].any():
            return
        for slot in np.flatnonzero((decoded["ids"][at] > 0) & (decoded["score"][at] >= SHOWN)):
            last, logits = decoded["last"][at][slot], decoded["logits"][at][slot]
            colour = np.array(colour_of(int(decoded["ids"][at][slot]), COLOURS))
            for mode in np.argsort(logits, kind="stable"):
                path = np.concatenate([last[None, :2], decoded["paths"][at][slot, mode] + last[:2]])
                bright = 1.0 if mode == np.argmax(logits) else _FAINT
                shade = tuple(int(c) for c in bright * colour)
                _line(pen, factor, _seen(batch, space, at, path, last[2]), shade)

    return painted(batch["image"], predicted), painted(batch["image"], label)


def _heights(batch: Mapping[str, Any], places: np.ndarray, space: str) -> np.ndarray:
    if space == "image":
        return np.zeros(places.shape[:3])
    return np.swapaxes(np.asarray(batch["instances"]["positions"])[..., 2], 1, 2)


def _seen(batch: Mapping[str, Any], space: str, at: tuple[int, int], path: np.ndarray, height: float) -> np.ndarray:
    """A path (n, 2) in the image, (n, 2) in pixels; up to where it leaves the view."""
    if space == "image":
        return path
    camera, (clip, frame) = batch["camera"], at
    turn = rotation_from(np.asarray(camera["quaternions"])[clip, frame][None]).as_matrix()[0]
    points = np.concatenate([path, np.full((len(path), 1), height)], axis=1)
    seen = (points - np.asarray(camera["positions"])[clip, frame]) @ turn
    hidden = ~(seen[:, 2] > _NEAR)
    seen = seen[: int(np.argmax(hidden)) if hidden.any() else len(seen)]
    return (seen / seen[:, 2:]) @ np.asarray(camera["intrinsics"])[clip][:2].T


def _line(pen: Any, factor: int, places: np.ndarray, colour: tuple[int, ...]) -> None:
    if len(places) > 1 and np.isfinite(places).all():
        pen.line([tuple(place) for place in (factor * places).tolist()], fill=colour, width=2)
