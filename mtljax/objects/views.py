"""From the world to a camera and back: where objects lie for the camera of each frame."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mtljax.errors import UserError
from mtljax.geometry.poses import rotation_of_quaternion
from mtljax.objects.frames import Objects

NEAR = 0.05  # metres: an object whose centre is nearer, or behind the camera, has no pose that an image could show


class View(NamedTuple):
    """How objects lie for their frame's camera (x right, y down, z forward).

    Attributes:
        rotation: (B, s, M, 3, 3), object to camera.
        translation: (B, s, M, 3), metres.
        image: (B, s, M, 2), where their centres are seen, (x, y) in pixels.
        in_front: (B, s, M) bool, whether it lies so, as far as is known; elsewhere the image is that of a point at
            `NEAR`. Quaternions or half sizes of 0 are those of no known pose, of a mix of sets.
    """

    rotation: jax.Array
    translation: jax.Array
    image: jax.Array
    in_front: jax.Array


def seen_by(camera: Mapping[str, Any] | None, objects: Objects, task: str) -> View:
    """How the true objects lie for the camera of each frame.

    Args:
        camera: `positions` (B, s, 3), `quaternions` (B, s, 4) camera to world, `intrinsics` (B, 3, 3).
        objects: with positions and quaternions.
        task: for messages.

    Raises:
        UserError: without a camera, positions or quaternions.
    """
    camera = checked_camera(camera, task)
    if objects.positions is None or objects.quaternions is None:
        raise UserError(f"{task} reads 'positions' and 'quaternions' of 'instances', which the batch does not have.")
    back = jnp.swapaxes(rotation_of_quaternion(camera["quaternions"]), -1, -2)[:, :, None]  # world to camera
    offset = objects.positions - camera["positions"][:, :, None]
    translation = _turned(back, offset)
    rotation = jnp.einsum("...ij,...jk->...ik", back, rotation_of_quaternion(objects.quaternions), precision="highest")
    known = jnp.any(objects.quaternions != 0, axis=-1)
    if objects.half_sizes is not None:
        known &= jnp.all(objects.half_sizes > 0, axis=-1)
    in_front = known & (translation[..., 2] > NEAR)
    depth = jnp.maximum(translation[..., 2:], NEAR)
    intrinsics = camera["intrinsics"][:, None, None]
    focal = jnp.stack([intrinsics[..., 0, 0], intrinsics[..., 1, 1]], axis=-1)
    image = focal * translation[..., :2] / depth + intrinsics[..., :2, 2]
    return View(rotation, translation, image, in_front)


def in_world(camera: Mapping[str, Any], points: jax.Array) -> jax.Array:
    """Points (B, s, K, 3) in the frame of each frame's camera, in that of the world: metres."""
    turn = rotation_of_quaternion(camera["quaternions"])[:, :, None]
    return _turned(turn, points) + camera["positions"][:, :, None]


def at_rest(clips: int, frames: int) -> dict[str, jax.Array]:
    """A camera of one pixel of focal length that stays at the world's origin.

    Example:
        >>> in_world(at_rest(1, 2), jnp.ones((1, 2, 5, 3))).shape
        (1, 2, 5, 3)
    """
    quaternions = jnp.broadcast_to(jnp.array([1.0, 0.0, 0.0, 0.0]), (clips, frames, 4))
    intrinsics = jnp.broadcast_to(jnp.eye(3), (clips, 3, 3))
    return {"positions": jnp.zeros((clips, frames, 3)), "quaternions": quaternions, "intrinsics": intrinsics}


def checked_camera(camera: Mapping[str, Any] | None, task: str) -> Mapping[str, Any]:
    """The camera, where it tells all; a `UserError` elsewhere."""
    wanted = ("positions", "quaternions", "intrinsics")
    lacking = [key for key in wanted if key not in (camera or {})]
    if camera is None or lacking:
        raise UserError(f"{task} wants a camera with {', '.join(wanted)}; the batch has no {', '.join(lacking)}.")
    return {key: jnp.asarray(camera[key], jnp.float32) for key in wanted}


def _turned(rotation: jax.Array, points: jax.Array) -> jax.Array:
    # Written out: a product of 3 x 3 would go through units of low precision on accelerators.
    return jnp.sum(rotation * points[..., None, :], axis=-1)
