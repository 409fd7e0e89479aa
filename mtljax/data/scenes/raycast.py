"""Where rays meet the room and the unit solids.

Rays are `origin + t * direction`, t > 0. Every function gives t (N,), infinite where there is no hit, and the outward
normal (N, 3) there, in the frame of its input and of any length.
"""

from collections.abc import Callable

import numpy as np

Hit = tuple[np.ndarray, np.ndarray]

_NEAR = 1e-6


def hit_sphere(o: np.ndarray, d: np.ndarray) -> Hit:
    """The unit sphere; o (N, 3) or (3,), d (N, 3)."""
    a, b, c = dot(d, d), dot(o, d), dot(o, o) - 1
    t = _nearest_root(a, b, c)
    return t, o + _finite(t)[:, None] * d


def hit_box(o: np.ndarray, d: np.ndarray) -> Hit:
    """The box [-1, 1]^3."""
    safe = np.where(np.abs(d) < 1e-12, 1e-12, d)
    low, high = (-1 - o) / safe, (1 - o) / safe
    enter, leave = np.minimum(low, high), np.maximum(low, high)
    axis = np.argmax(enter, axis=1)
    near, far = enter[np.arange(len(d)), axis], np.min(leave, axis=1)
    t = np.where((near <= far) & (near > _NEAR), near, np.inf)
    normal = np.zeros_like(d)
    normal[np.arange(len(d)), axis] = -np.sign(d[np.arange(len(d)), axis])
    return t, normal


def hit_cylinder(o: np.ndarray, d: np.ndarray) -> Hit:
    """The cylinder x^2 + y^2 <= 1, |z| <= 1."""
    o = np.broadcast_to(o, d.shape)
    a, b = _across(d, d), _across(o, d)
    side = _nearest_root(a, b, _across(o, o) - 1)
    point = o + _finite(side)[:, None] * d
    side = np.where(np.abs(point[:, 2]) <= 1, side, np.inf)
    best = side, point * [1, 1, 0]
    for z in (-1.0, 1.0):
        best = _nearer(best, _hit_disc(o, d, z))
    return best


def hit_cone(o: np.ndarray, d: np.ndarray) -> Hit:
    """The cone with its tip at z = 1 and a base of radius 1 at z = -1."""
    o = np.broadcast_to(o, d.shape)
    top = 1 - o[:, 2]
    a = _across(d, d) - d[:, 2] ** 2 / 4
    b = _across(o, d) + top * d[:, 2] / 4
    c = _across(o, o) - top**2 / 4
    best = np.full(len(d), np.inf), np.zeros_like(d)
    for root in _roots(a, b, c):
        point = o + _finite(root)[:, None] * d
        t = np.where((np.abs(point[:, 2]) <= 1) & (root > _NEAR), root, np.inf)
        normal = np.concatenate([point[:, :2], (1 - point[:, 2:]) / 4], axis=1)
        best = _nearer(best, (t, normal))
    return _nearer(best, _hit_disc(o, d, -1.0))


def hit_room(o: np.ndarray, d: np.ndarray, half: float, height: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The inside of the room |x|, |y| <= half, 0 <= z <= height: t, inward normal, and the side met, (N,) 0 .. 5.

    Sides: 0 the floor, 1 to 4 the walls -x, +x, -y, +y, 5 the ceiling.
    """
    safe = np.where(np.abs(d) < 1e-12, 1e-12, d)
    low, high = np.array([-half, -half, 0.0]), np.array([half, half, height])
    leave = np.maximum((low - o) / safe, (high - o) / safe)
    axis = np.argmin(leave, axis=1)
    upper = safe[np.arange(len(d)), axis] > 0
    normal = np.zeros_like(d)
    normal[np.arange(len(d)), axis] = np.where(upper, -1.0, 1.0)
    side = np.where(axis == 2, np.where(upper, 5, 0), 1 + 2 * axis + upper)
    return leave[np.arange(len(d)), axis], normal, side


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Products of vectors (..., 3), added up in turn: several times as fast as a sum along an axis of 3."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def _across(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Products of what vectors have across z."""
    return a[:, 0] * b[:, 0] + a[:, 1] * b[:, 1]


def _hit_disc(o: np.ndarray, d: np.ndarray, z: float) -> Hit:
    safe = np.where(np.abs(d[:, 2]) < 1e-12, 1e-12, d[:, 2])
    t = (z - o[:, 2]) / safe
    point = o + t[:, None] * d
    inside = (_across(point, point) <= 1) & (t > _NEAR)
    return np.where(inside, t, np.inf), np.broadcast_to([0.0, 0.0, z], d.shape)


def _roots(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both roots of a t^2 + 2 b t + c, infinite where there are none."""
    a = np.where(np.abs(a) < 1e-12, 1e-12, a)
    square = b * b - a * c
    root = np.sqrt(np.maximum(square, 0))
    return np.where(square >= 0, (-b - root) / a, np.inf), np.where(square >= 0, (-b + root) / a, np.inf)


def _nearest_root(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    first, second = _roots(a, b, c)
    first, second = (np.where(r > _NEAR, r, np.inf) for r in (first, second))
    return np.minimum(first, second)


def _nearer(a: Hit, b: Hit) -> Hit:
    return np.minimum(a[0], b[0]), np.where((a[0] <= b[0])[:, None], a[1], b[1])


def _finite(t: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(t), t, 0.0)


HITS = {1: hit_sphere, 2: hit_box, 3: hit_cylinder, 4: hit_cone}
# The farthest that a solid of half sizes (3,) reaches from its origin.
REACH: dict[int, Callable[[np.ndarray], float]] = {
    1: lambda scale: float(np.max(scale)),
    2: lambda scale: float(np.linalg.norm(scale)),
    3: lambda scale: float(np.hypot(np.max(scale[:2]), scale[2])),
    4: lambda scale: float(np.hypot(np.max(scale[:2]), scale[2])),
}
