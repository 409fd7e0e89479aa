"""A clip's world: solid objects in a room, a camera on a smooth path, a light. All motion is a function of time.

World frame: right-handed, z up, metres; time in frames. The camera frame is OpenCV's: x right, y down, z forward.
"""

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

CLASSES = ("background", "sphere", "box", "cylinder", "cone")
MAX_OBJECTS = 10
ROOM = 6.0  # half the width of the room
HEIGHT = 7.0  # of the room
ARENA = 2.8  # objects bounce off the walls of |x|, |y| <= ARENA
_SWAY = 8.0  # frames in which the camera's path turns by a radian
_WAVES = 8
_WAVE_LENGTHS = (0.4, 1.6)  # metres
_CLEARANCE = 0.5  # metres between the camera and the sphere about any object


@dataclasses.dataclass(frozen=True)
class Solid:
    """A rigid object: a unit sphere, box, cylinder or cone, scaled, turned and moved.

    Attributes:
        category: index into `CLASSES`, at least 1.
        scale: (3,) half sizes.
        start: (3,) position at time 0.
        velocity: (3,) metres a frame, before the first bounce.
        orientation: at time 0.
        spin: (3,) rotation vector a frame, in the world frame.
        colours: (2, 3) in [0, 1].
        pattern: (3,) frequencies of the texture in the object's frame.
    """

    category: int
    scale: np.ndarray
    start: np.ndarray
    velocity: np.ndarray
    orientation: Rotation
    spin: np.ndarray
    colours: np.ndarray
    pattern: np.ndarray

    def position(self, time: float) -> np.ndarray:
        """(3,) at a time; constant velocity, reflected at the arena's walls."""
        free = self.start + self.velocity * time
        bounced = np.abs((free[:2] + ARENA) % (4 * ARENA) - 2 * ARENA) - ARENA
        return np.array([-bounced[0], -bounced[1], free[2]])

    def rotation(self, time: float) -> Rotation:
        """Object to world."""
        return Rotation.from_rotvec(self.spin * time) * self.orientation


@dataclasses.dataclass(frozen=True)
class Camera:
    """A camera that sways on an arc about the room's centre and looks near it; it stays in the room at all times.

    Attributes:
        arc: (3,) azimuth, elevation (radians) and radius (metres) at time 0.
        arc_speed: (3,) the same a frame, at time 0.
        target: (3,) where it looks at time 0.
        target_speed: (3,) metres a frame, at time 0.
    """

    arc: np.ndarray
    arc_speed: np.ndarray
    target: np.ndarray
    target_speed: np.ndarray

    def position(self, time: float) -> np.ndarray:
        """(3,) in the world."""
        azimuth, elevation, radius = self.arc + self.arc_speed * _swayed(time)
        flat = np.cos(elevation)
        return radius * np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])

    def rotation(self, time: float) -> np.ndarray:
        """(3, 3) camera to world: columns are the camera's right, down and forward."""
        forward = self.target + self.target_speed * _swayed(time) - self.position(time)
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(forward, right), forward], axis=1)


@dataclasses.dataclass(frozen=True)
class World:
    """What a clip shows.

    Attributes:
        solids: the objects.
        camera: the camera.
        light: (3,) unit vector towards the light.
        floor: (2, 3) colours of the floor's texture.
        walls: (5, 3) colours of the four walls and the ceiling.
        room_pattern: (3,) frequencies of the texture of floor, walls and ceiling.
        waves: (n, 3) radians a metre, directions and frequencies of the shades on everything.
        phases: (n,) radians, of the waves.
    """

    solids: tuple[Solid, ...]
    camera: Camera
    light: np.ndarray
    floor: np.ndarray
    walls: np.ndarray
    room_pattern: np.ndarray
    waves: np.ndarray
    phases: np.ndarray


def clip_rng(seed: int, split: str, index: int) -> np.random.Generator:
    """The generator of a clip: it depends on (seed, split, index) alone, on any machine."""
    digest = hashlib.sha256(f"{seed}/{split}/{index}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, "<u4"))


def sample_world(rng: np.random.Generator, times: Sequence[float]) -> World:
    """Draws a world; one in five has a still camera, one in five has still objects.

    No object comes near the camera at these times.
    """
    moving_objects, moving_camera = rng.random(2) > 0.2
    number = rng.integers(3, MAX_OBJECTS + 1)
    camera = _sample_camera(rng, moving_camera)
    solids = tuple(_sample_clear_solid(rng, moving_objects, camera, times) for _ in range(number))
    light = np.array([*rng.uniform(-0.7, 0.7, 2), 1.0])
    return World(
        solids=solids,
        camera=camera,
        light=light / np.linalg.norm(light),
        floor=rng.uniform(0.3, 0.8) + rng.uniform(-0.15, 0.15, (2, 3)),
        walls=rng.uniform(0.35, 0.75) + rng.uniform(-0.15, 0.15, (5, 3)),
        room_pattern=rng.uniform(1.0, 4.0, 3),
        waves=_sample_waves(rng),
        phases=rng.uniform(0, 2 * np.pi, _WAVES),
    )


def _sample_waves(rng: np.random.Generator) -> np.ndarray:
    direction = rng.normal(size=(_WAVES, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    shortest, longest = np.log(_WAVE_LENGTHS)
    length = np.exp(rng.uniform(shortest, longest, _WAVES))
    return 2 * np.pi * direction / length[:, None]


def _swayed(time: float) -> float:
    """Time, slowing down and turning back so that nothing driven by it goes far."""
    return _SWAY * float(np.sin(time / _SWAY))


def _sample_clear_solid(rng: np.random.Generator, moving: bool, camera: Camera, times: Sequence[float]) -> Solid:
    eyes = [camera.position(time) for time in times]
    while True:
        solid = _sample_solid(rng, moving)
        gaps = [np.linalg.norm(eye - solid.position(time)) for time, eye in zip(times, eyes, strict=True)]
        if min(gaps) > np.linalg.norm(solid.scale) + _CLEARANCE:
            return solid


def _sample_solid(rng: np.random.Generator, moving: bool) -> Solid:
    category = int(rng.integers(1, len(CLASSES)))
    size = rng.uniform(0.4, 0.9)
    scale = np.full(3, size) if category == 1 else size * rng.uniform(0.7, 1.1, 3)
    if category > 2:
        scale[1] = scale[0]  # round, as seen along its axis
    upright = rng.random() < 0.5
    turn = Rotation.from_rotvec([0, 0, rng.uniform(0, 2 * np.pi)])
    orientation = turn if upright else Rotation.from_rotvec(rng.normal(size=3)) * turn
    height = scale[2] if upright else float(np.linalg.norm(scale))
    speed, spin = rng.uniform(-0.25, 0.25, 2), rng.uniform(-0.25, 0.25, 3)
    spin = spin * [0, 0, 1] if upright else spin
    hue = rng.random(3)
    bright = np.clip(hue / hue.max() * rng.uniform(0.7, 1.0), 0.05, 1)
    return Solid(
        category=category,
        scale=scale,
        start=np.array([*rng.uniform(-ARENA, ARENA, 2), height]),
        velocity=np.array([*speed, 0.0]) * moving,
        orientation=orientation,
        spin=spin * moving,
        colours=np.stack([bright, bright * rng.uniform(0.5, 0.9)]),
        pattern=rng.uniform(2.0, 6.0, 3),
    )


def _sample_camera(rng: np.random.Generator, moving: bool) -> Camera:
    arc = np.array([rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 0.8), rng.uniform(4.6, 5.6)])
    return Camera(
        arc=arc,
        arc_speed=np.array([rng.uniform(-0.06, 0.06), rng.uniform(-0.015, 0.015), rng.uniform(-0.03, 0.0)]) * moving,
        target=np.array([*rng.uniform(-0.8, 0.8, 2), rng.uniform(0.2, 1.0)]),
        target_speed=rng.uniform(-0.05, 0.05, 3) * [1, 1, 0.3] * moving,
    )
