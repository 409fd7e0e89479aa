"""Pictures of poses: an object's axes, and the outline of the solid."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from mtljax.tasks.drawing.boxes import SHOWN
from mtljax.tasks.drawing.canvas import painted
from mtljax.tasks.metrics.objects.solids import BOX, CYLINDER, SPHERE

_AXES = ((255, 70, 70), (80, 230, 80), (90, 140, 255))  # x, y, z
_OUTLINE = (255, 220, 90)
_NEAR = 0.05  # metres: what is nearer is not drawn
_ROUND = np.linspace(0, 2 * np.pi, 25)


def draw_poses(
    images: np.ndarray, pose: Mapping[str, np.ndarray], score: np.ndarray, solid: np.ndarray, intrinsics: np.ndarray
) -> np.ndarray:
    """The outlines of solids and their axes: x red, y green, z blue.

    Args:
        images: (B, s, H, W, C).
        pose: `rotation` (B, s, K, 3, 3), `translation` and `half_sizes` (B, s, K, 3), metres in the camera's frame.
        score: (B, s, K); less than 0.3 is not drawn.
        solid: (B, s, K) integers, 1 to 4: sphere, box, cylinder, cone.
        intrinsics: (B, 3, 3), in pixels.

    Returns:
        (B, s, h, w, 3) uint8.
    """

    def paint(pen: Any, factor: int, at: tuple[int, int]) -> None:
        known = (pose[key][at] for key in ("rotation", "translation", "half_sizes"))
        rotation, translation, sizes = known
        for one in np.flatnonzero(score[at] >= SHOWN).tolist():
            k = factor * intrinsics[at[0]][:2]

            def line(points: np.ndarray, colour: tuple[int, int, int], wide: int, one: int = one, k: Any = k) -> None:
                seen = (points * sizes[one]) @ rotation[one].T + translation[one]
                if np.isfinite(seen).all() and seen[:, 2].min() > _NEAR:
                    places = (seen / seen[:, 2:]) @ k.T
                    pen.line([tuple(place) for place in places.tolist()], fill=colour, width=wide)

            for points in outlines(int(solid[at][one])):
                line(points, _OUTLINE, 1)
            for axis, colour in zip(np.eye(3), _AXES, strict=True):
                line(np.stack([np.zeros(3), axis]), colour, 2)

    return painted(images, paint)


def outlines(solid: int) -> list[np.ndarray]:
    """Lines (n, 3) that show a unit solid: circles, edges.

    Example:
        >>> len(outlines(2)), len(outlines(1))
        (12, 3)
    """
    circle = np.stack([np.cos(_ROUND), np.sin(_ROUND), np.zeros_like(_ROUND)], axis=1)
    if solid == SPHERE:
        return [np.roll(circle, shift, axis=1) for shift in range(3)]
    if solid == BOX:
        corners = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
        pairs = itertools.combinations(range(8), 2)
        return [corners[[a, b]] for a, b in pairs if np.abs(corners[a] - corners[b]).sum() == 2]
    ends = (-1.0, 1.0) if solid == CYLINDER else (-1.0,)
    rings = [circle + np.array([0, 0, z]) for z in ends]
    tops = [np.array([x, y, 1.0]) * ([1, 1, 1] if solid == CYLINDER else [0, 0, 1]) for x, y in _AROUND]
    return rings + [np.stack([np.array([x, y, -1.0]), top]) for (x, y), top in zip(_AROUND, tops, strict=True)]


_AROUND = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))
