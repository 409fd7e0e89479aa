"""A world as it stands at one time: its camera and solids in place."""

import dataclasses

import numpy as np
from scipy.spatial.transform import Rotation

from mtljax.data.scenes.raycast import HITS, REACH, Hit, dot
from mtljax.data.scenes.world import Solid, World

_SLACK = 1 + 1e-6  # of spheres about solids, far beyond what rounding moves


@dataclasses.dataclass(frozen=True)
class Placed:
    """A solid in its place.

    Attributes:
        solid: itself.
        position: (3,) in the world.
        turn: (3, 3) object to world.
        reach: metres from its position, beyond which nothing of it lies.
    """

    solid: Solid
    position: np.ndarray
    turn: np.ndarray
    reach: float

    def local(self, points: np.ndarray) -> np.ndarray:
        """Points of the world (..., 3) in the solid's own frame."""
        return (points - self.position) @ self.turn

    def hit(self, origin: np.ndarray, direction: np.ndarray) -> Hit:
        """Where rays of the world meet it: t (N,), and normals (N, 3) in the world, of any length.

        Args:
            origin: (3,) or (N, 3).
            direction: (N, 3).
        """
        scale = self.solid.scale
        t, n = HITS[self.solid.category](self.local(origin) / scale, (direction @ self.turn) / scale)
        return t, (n / scale) @ self.turn.T

    def near(self, origin: np.ndarray, direction: np.ndarray, square: np.ndarray | float) -> np.ndarray:
        """The places (n,) of rays that may meet it: those that meet a sphere about it.

        Args:
            origin: (3,) or (N, 3).
            direction: (N, 3) or (3,).
            square: of the directions' lengths, (N,) or one number.
        """
        offset = self.position - origin
        along, distance = dot(direction, offset), dot(offset, offset)
        outside = distance - self.reach**2
        return np.flatnonzero((outside <= 0) | ((along > 0) & (along**2 >= square * outside)))


@dataclasses.dataclass(frozen=True)
class Moment:
    """A world at a time.

    Attributes:
        eye: (3,) where the camera is.
        look: (3, 3) camera to world.
        rotations: of the solids, object to world.
        placed: the solids.
    """

    eye: np.ndarray
    look: np.ndarray
    rotations: tuple[Rotation, ...]
    placed: tuple[Placed, ...]


def moment(world: World, time: float) -> Moment:
    """The world at a time, in frames."""
    rotations = tuple(solid.rotation(time) for solid in world.solids)
    placed = tuple(
        Placed(solid, solid.position(time), rotation.as_matrix(), _SLACK * REACH[solid.category](solid.scale))
        for solid, rotation in zip(world.solids, rotations, strict=True)
    )
    return Moment(world.camera.position(time), world.camera.rotation(time), rotations, placed)
