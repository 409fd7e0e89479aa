"""Renders a clip with all its labels: `render_clip` is a pure function of (config, seed, split, index)."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from mtljax.data.labels.edges import edges_of_surfaces
from mtljax.data.scenes import raycast
from mtljax.data.scenes.moment import Moment, moment
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
    before, *shown, after = [moment(world, time) for time in range(-step, (frames + 1) * step, step)]
    around = list(zip([before, *shown[:-1]], shown, [*shown[1:], after], strict=True))
    views = [_view(at, k, size) for at in shown]
    colours = [_shade(world, v, at) + rng.normal(0, _NOISE, v.point.shape) for at, v in zip(shown, views, strict=True)]
    ids = np.stack([view.instance for view in views])
    category = np.array([0, *(solid.category for solid in world.solids)])
    flows = [_flows(k, view, *three) for view, three in zip(views, around, strict=True)]
    return {
        "video": (255 * np.clip(np.stack(colours), 0, 1) + 0.5).astype(np.uint8),
        "depth": np.stack([view.depth for view in views])[..., None].astype(np.float32),
        "normal": np.stack([v.normal @ at.look for v, at in zip(views, shown, strict=True)]).astype(np.float32),
        "segmentations": ids[..., None].astype(np.uint8),
        "semantic": category[ids][..., None].astype(np.uint8),
        "edge": np.stack([edges_of_surfaces(v.point, v.depth, v.normal, v.instance) for v in views])[..., None],
        "forward_flow": np.stack([forward for forward, _ in flows]),
        "backward_flow": np.stack([backward for _, backward in flows]),
        "camera": _camera(shown, size),
        "instances": _instances(world, ids, shown),
    }


def _view(at: Moment, k: np.ndarray, size: int) -> View:
    # The camera-frame z of these directions is 1, so that t along a ray is z-depth.
    in_camera = backproject(np.ones((size, size, 1)), k, np).reshape(-1, 3)
    direction = in_camera @ at.look.T
    depth, normal, side = raycast.hit_room(at.eye, direction, ROOM, HEIGHT)
    instance, square = np.zeros(len(direction), int), raycast.dot(direction, direction)
    for index, solid in enumerate(at.placed, 1):
        near = solid.near(at.eye, direction, square)
        t, n = solid.hit(at.eye, direction[near])
        nearer = t < depth[near]
        pixels = near[nearer]
        depth[pixels], instance[pixels], normal[pixels] = t[nearer], index, n[nearer]
    normal /= np.sqrt(raycast.dot(normal, normal))[:, None]
    normal *= -np.sign(raycast.dot(normal, direction) + 1e-30)[:, None]
    shape = (size, size)
    point = at.eye + depth[:, None] * direction
    return View(
        depth.reshape(shape),
        normal.reshape(*shape, 3),
        instance.reshape(shape),
        side.reshape(shape),
        point.reshape(*shape, 3),
    )


def _shade(world: World, view: View, at: Moment) -> np.ndarray:
    """Lambert shading with hard shadows, (h, w, 3) in [0, 1] before noise; textures move with their objects."""
    point, instance, side = view.point.reshape(-1, 3), view.instance.reshape(-1), view.side.reshape(-1)
    colour = np.empty_like(point)
    room = np.flatnonzero(instance == 0)
    checker = _pattern(point[room], world.room_pattern)[:, None]
    walls = world.walls[np.maximum(side[room], 1) - 1] * np.where(checker, 1.0, 0.85)
    floor = np.where(checker, *world.floor)
    colour[room] = np.where((side[room] == 0)[:, None], floor, walls) * _shades(point[room], world)
    for index, placed in enumerate(at.placed, 1):
        mine = np.flatnonzero(instance == index)
        local = placed.local(point[mine])
        checker = _pattern(local / placed.solid.scale, placed.solid.pattern)[:, None]
        colour[mine] = np.where(checker, *placed.solid.colours) * _shades(local, world)
    light = _light(view.normal.reshape(-1, 3), point, world.light, at)
    return (colour * (_AMBIENT + (1 - _AMBIENT) * light)[:, None]).reshape(view.point.shape)


def _light(normal: np.ndarray, point: np.ndarray, light: np.ndarray, at: Moment) -> np.ndarray:
    """What comes from the light at each point, (N,): the cosine, or 0 in the shadow of a solid."""
    cosine = np.maximum(normal @ light, 0)
    left = np.flatnonzero(cosine > 0)  # those that turn away from it have none in any case
    start = point[left] + 1e-4 * normal[left]
    for solid in at.placed:
        near = solid.near(start, light, 1.0)
        towards = np.broadcast_to(light, (len(near), 3))
        cosine[left[near[np.isfinite(solid.hit(start[near], towards)[0])]]] = 0
    return cosine


def _pattern(point: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """A wavy checker, (N,) bool."""
    waves = np.sin(point * frequency)
    return waves[:, 0] + waves[:, 1] + waves[:, 2] > 0


def _shades(point: np.ndarray, world: World) -> np.ndarray:
    """Light and dark without edges, (N, 1) about 1: so that motion shows everywhere, and within a pixel."""
    waves = np.sin(point @ world.waves.T + world.phases)
    return 1 + _SHADES * waves.mean(axis=1, keepdims=True)


def _flows(k: np.ndarray, view: View, before: Moment, at: Moment, after: Moment) -> tuple[np.ndarray, np.ndarray]:
    """Where each visible point is a frame later, and earlier, less where it is now: (h, w, 2) pixels (x, y)."""
    now = _project(at, k, view.point)
    forward, backward = (_project(other, k, _moved(view, at, other)) - now for other in (after, before))
    return forward.astype(np.float32), backward.astype(np.float32)


def _moved(view: View, at: Moment, other: Moment) -> np.ndarray:
    """Where each visible point is at another time: (h, w, 3) in the world."""
    moved = view.point.copy()
    for index, (now, then) in enumerate(zip(at.placed, other.placed, strict=True), 1):
        mine = view.instance == index
        moved[mine] = (view.point[mine] - now.position) @ (then.turn @ now.turn.T).T + then.position
    return moved


def _project(at: Moment, k: np.ndarray, point: np.ndarray) -> np.ndarray:
    in_camera = (point - at.eye) @ at.look
    # A point behind the other camera has no image; a depth of 1 cm keeps its flow finite.
    z = np.maximum(in_camera[..., 2:], 0.01)
    return in_camera[..., :2] / z * np.diagonal(k)[:2] + k[:2, 2]


def _camera(shown: Sequence[Moment], size: int) -> dict[str, np.ndarray]:
    return {
        "positions": np.stack([at.eye for at in shown]).astype(np.float32),
        "quaternions": quaternions_of(Rotation.from_matrix([at.look for at in shown])).astype(np.float32),
        "intrinsics": intrinsics(size, size),
    }


def _instances(world: World, ids: np.ndarray, shown: Sequence[Moment]) -> dict[str, np.ndarray]:
    number = len(world.solids)
    boxes = np.stack([[_bounds(frame == i) for frame in ids] for i in range(1, number + 1)])
    positions = np.stack([[at.placed[i].position for at in shown] for i in range(number)])
    quaternions = [quaternions_of(Rotation.concatenate([at.rotations[i] for at in shown])) for i in range(number)]
    counts = [np.count_nonzero(ids == i, axis=(1, 2)) for i in range(1, number + 1)]
    return {
        "bboxes": boxes.astype(np.float32),
        "positions": positions.astype(np.float32),
        "quaternions": np.stack(quaternions).astype(np.float32),
        "scale": np.stack([solid.scale for solid in world.solids]).astype(np.float32),
        "category": np.array([solid.category for solid in world.solids], np.int32),
        "visibility": np.array(counts, np.int32),
    }


def _bounds(mask: np.ndarray) -> tuple[float, float, float, float]:
    """[ymin, xmin, ymax, xmax] of a mask's pixels, edges included, as shares of the image; zeros for an empty one."""
    if not mask.any():
        return (0.0, 0.0, 0.0, 0.0)
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    height, width = mask.shape
    return rows[0] / height, columns[0] / width, (rows[-1] + 1) / height, (columns[-1] + 1) / width
