"""Renders a clip with all its labels: `render_clip` is a pure function of (config, seed, split, index)."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from mtljax.data.labels.edges import edges_of_surfaces
from mtljax.data.scenes import raycast
from mtljax.data.scenes.world import HEIGHT, ROOM, World, clip_rng, sample_world
from mtljax.geometry.camera import backproject, pinhole
from mtljax.geometry.rotations import quaternions_of

_NOISE = 0.01
_SHADES = 1.0  # contrast of the waves, were all in phase
_AMBIENT = 0.35


@dataclasses.dataclass(frozen=True)
class View:
    """What the rays of one frame meet.

    Attributes:
        depth: (h, w) z-depth in metres.
        normal: (h, w, 3) unit, in the world frame, facing the camera.
        instance: (h, w) int, 0 background, else 1 + the object's index.
        side: (h, w) int, the side of the room met where `instance` is 0.
        point: (h, w, 3) in the world frame.
    """

    depth: np.ndarray
    normal: np.ndarray
    instance: np.ndarray
    side: np.ndarray
    point: np.ndarray


def intrinsics(height: int, width: int) -> np.ndarray:
    """(3, 3) float32 pinhole intrinsics for pixel centres at integers + 0.5."""
    return pinhole(0.9 * width, height, width).astype(np.float32)


def render_clip(size: int, frames: int, seed: int, split: str, index: int, step: int = 1) -> dict[str, Any]:
    """All features of a clip of `frames` square frames of `size` pixels, `step` units of time apart, as NumPy arrays.

    `video`, `depth`, `normal`, `segmentations`, `semantic`, `edge`, `forward_flow`, `backward_flow`, `camera` and
    `instances` as `mtljax.data.scenes` documents them.
    """
    rng = clip_rng(seed, split, index)
    times = range(0, frames * step, step)
    world = sample_world(rng, times)
    k = intrinsics(size, size).astype(np.float64)
    views = [_view(world, k, size, time) for time in times]
    timed = list(zip(times, views, strict=True))
    colours = [_shade(world, view, t) + rng.normal(0, _NOISE, (size, size, 3)) for t, view in timed]
    ids = np.stack([view.instance for view in views])
    category = np.array([0, *(solid.category for solid in world.solids)])
    to_camera = [world.camera.rotation(time).T for time in times]
    return {
        "video": (255 * np.clip(np.stack(colours), 0, 1) + 0.5).astype(np.uint8),
        "depth": np.stack([view.depth for view in views])[..., None].astype(np.float32),
        "normal": np.stack([v.normal @ r.T for v, r in zip(views, to_camera, strict=True)]).astype(np.float32),
        "segmentations": ids[..., None].astype(np.uint8),
        "semantic": category[ids][..., None].astype(np.uint8),
        "edge": np.stack([edges_of_surfaces(v.point, v.depth, v.normal, v.instance) for v in views])[..., None],
        "forward_flow": np.stack([_flow(world, k, view, t, t + step) for t, view in timed]),
        "backward_flow": np.stack([_flow(world, k, view, t, t - step) for t, view in timed]),
        "camera": _camera(world, size, times),
        "instances": _instances(world, ids, times),
    }


def _view(world: World, k: np.ndarray, size: int, time: float) -> View:
    # The camera-frame z of these directions is 1, so that t along a ray is z-depth.
    in_camera = backproject(np.ones((size, size, 1)), k, np).reshape(-1, 3)
    origin = world.camera.position(time)
    direction = in_camera @ world.camera.rotation(time).T
    depth, normal, side = raycast.hit_room(origin, direction, ROOM, HEIGHT)
    instance = np.zeros(len(direction), int)
    for index, solid in enumerate(world.solids, 1):
        t, n = _hit_solid(solid, origin, direction, time)
        nearer = t < depth
        depth, instance = np.where(nearer, t, depth), np.where(nearer, index, instance)
        normal = np.where(nearer[:, None], n, normal)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    normal *= -np.sign(np.sum(normal * direction, axis=1, keepdims=True) + 1e-30)
    shape = (size, size)
    point = origin + depth[:, None] * direction
    return View(
        depth.reshape(shape),
        normal.reshape(*shape, 3),
        instance.reshape(shape),
        side.reshape(shape),
        point.reshape(*shape, 3),
    )


def _hit_solid(solid: Any, origin: np.ndarray, direction: np.ndarray, time: float) -> raycast.Hit:
    turn = solid.rotation(time).as_matrix()
    o = ((origin - solid.position(time)) @ turn) / solid.scale
    d = (direction @ turn) / solid.scale
    t, n = raycast.HITS[solid.category](o, d)
    return t, (n / solid.scale) @ turn.T


def _shade(world: World, view: View, time: float) -> np.ndarray:
    """Lambert shading with hard shadows, (h, w, 3) in [0, 1] before noise; textures move with their objects."""
    size = view.depth.shape[0]
    point, normal = view.point.reshape(-1, 3), view.normal.reshape(-1, 3)
    instance, side = view.instance.reshape(-1), view.side.reshape(-1)
    checker = _pattern(point, world.room_pattern)[:, None]
    walls = world.walls[np.maximum(side, 1) - 1] * np.where(checker, 1.0, 0.85)
    colour = np.where((side == 0)[:, None], np.where(checker, *world.floor), walls) * _shades(point, world)
    lit = np.ones(len(point), bool)
    start = point + 1e-4 * normal
    towards = np.broadcast_to(world.light, point.shape)
    for index, solid in enumerate(world.solids, 1):
        mine = instance == index
        local = (point[mine] - solid.position(time)) @ solid.rotation(time).as_matrix()
        checker = _pattern(local / solid.scale, solid.pattern)[:, None]
        colour[mine] = np.where(checker, *solid.colours) * _shades(local, world)
        lit &= ~np.isfinite(_hit_solid(solid, start, towards, time)[0])
    cosine = np.maximum(normal @ world.light, 0)
    return (colour * (_AMBIENT + (1 - _AMBIENT) * cosine * lit)[:, None]).reshape(size, size, 3)


def _pattern(point: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """A wavy checker, (N,) bool."""
    return np.sum(np.sin(point * frequency), axis=1) > 0


def _shades(point: np.ndarray, world: World) -> np.ndarray:
    """Light and dark without edges, (N, 1) about 1: so that motion shows everywhere, and within a pixel."""
    waves = np.sin(point @ world.waves.T + world.phases)
    return 1 + _SHADES * waves.mean(axis=1, keepdims=True)


def _flow(world: World, k: np.ndarray, view: View, time: float, other: float) -> np.ndarray:
    """(h, w, 2) float32: where each visible point is at another time, less where it is now, in pixels (x, y)."""
    moved = view.point.copy()
    for index, solid in enumerate(world.solids, 1):
        mine = view.instance == index
        turn = solid.rotation(other).as_matrix() @ solid.rotation(time).as_matrix().T
        moved[mine] = (view.point[mine] - solid.position(time)) @ turn.T + solid.position(other)
    now = _project(world, k, view.point, time)
    return (_project(world, k, moved, other) - now).astype(np.float32)


def _project(world: World, k: np.ndarray, point: np.ndarray, time: float) -> np.ndarray:
    in_camera = (point - world.camera.position(time)) @ world.camera.rotation(time)
    # A point behind the other camera has no image; a depth of 1 cm keeps its flow finite.
    z = np.maximum(in_camera[..., 2:], 0.01)
    return in_camera[..., :2] / z * np.diagonal(k)[:2] + k[:2, 2]


def _camera(world: World, size: int, times: Sequence[float]) -> dict[str, np.ndarray]:
    rotations = Rotation.from_matrix([world.camera.rotation(t) for t in times])
    return {
        "positions": np.stack([world.camera.position(t) for t in times]).astype(np.float32),
        "quaternions": quaternions_of(rotations).astype(np.float32),
        "intrinsics": intrinsics(size, size),
    }


def _instances(world: World, ids: np.ndarray, times: Sequence[float]) -> dict[str, np.ndarray]:
    solids = world.solids
    boxes = np.stack([[_bounds(frame == i) for frame in ids] for i in range(1, len(solids) + 1)])
    positions = np.stack([[solid.position(t) for t in times] for solid in solids])
    quaternions = [quaternions_of(Rotation.concatenate([solid.rotation(t) for t in times])) for solid in solids]
    counts = [np.count_nonzero(ids == i, axis=(1, 2)) for i in range(1, len(solids) + 1)]
    return {
        "bboxes": boxes.astype(np.float32),
        "positions": positions.astype(np.float32),
        "quaternions": np.stack(quaternions).astype(np.float32),
        "scale": np.stack([solid.scale for solid in solids]).astype(np.float32),
        "category": np.array([solid.category for solid in solids], np.int32),
        "visibility": np.array(counts, np.int32),
    }


def _bounds(mask: np.ndarray) -> tuple[float, float, float, float]:
    """[ymin, xmin, ymax, xmax] of a mask's pixels, edges included, as shares of the image; zeros for an empty one."""
    if not mask.any():
        return (0.0, 0.0, 0.0, 0.0)
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    height, width = mask.shape
    return rows[0] / height, columns[0] / width, (rows[-1] + 1) / height, (columns[-1] + 1) / width
