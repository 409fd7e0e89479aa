"""From twelve numbers at an object's centre to its pose and size (6-D rotation: Zhou 2019; GDR-Net: Wang 2021)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

NUMBERS = 12
MEAN_LOG_DEPTH = 1.6
_SHORT = 1e-8  # square of a length below which a vector has no direction


class Pose(NamedTuple):
    """How objects lie in the camera's frame (x right, y down, z forward).

    Attributes:
        rotation: (..., 3, 3), object to camera.
        translation: (..., 3), metres.
        half_sizes: (..., 3), metres along the object's own axes.
    """

    rotation: jax.Array
    translation: jax.Array
    half_sizes: jax.Array


class Numbers(NamedTuple):
    """What the twelve numbers stand for.

    Attributes:
        six: (..., 6), two columns of the rotation as the ray sees it, before they are made orthonormal.
        shift: (..., 2), from the box's centre to the image of the object's centre, in cells.
        log_depth: (...), ln of z in metres.
        log_sizes: (..., 3), ln of the half sizes in metres.
    """

    six: jax.Array
    shift: jax.Array
    log_depth: jax.Array
    log_sizes: jax.Array


def split(raw: jax.Array) -> Numbers:
    """A head's twelve numbers (..., 12), named: zeros are no rotation, no shift, a depth of e^1.6 m, half sizes of 1 m.

    Example:
        >>> print(jax.jit(split)(jnp.zeros(12)).six)
        [1. 0. 0. 0. 1. 0.]
    """
    axes = jnp.array([1, 0, 0, 0, 1, 0], raw.dtype)
    return Numbers(raw[..., :6] + axes, raw[..., 6:8], raw[..., 8] + MEAN_LOG_DEPTH, raw[..., 9:])


def pose(numbers: Numbers, centres: jax.Array, intrinsics: jax.Array, stride: int) -> Pose:
    """The poses that the numbers say.

    Gradients are finite everywhere.

    Args:
        numbers: of each object.
        centres: (..., 2), (x, y) of the box's centre in cells.
        intrinsics: (..., 3, 3), in pixels; leading axes broadcast.
        stride: pixels of a cell's side.

    Returns:
        The poses: the centre lies on the ray through S (c + shift), at z = exp(log_depth).
    """
    direction = ray(stride * (centres + numbers.shift), intrinsics)
    # Accelerators would round what a product of matrices reads.
    rotation = jnp.matmul(ray_rotation(direction), rotation_from_six(numbers.six), precision="highest")
    translation = jnp.exp(numbers.log_depth)[..., None] * direction
    return Pose(rotation, translation, jnp.exp(numbers.log_sizes))


def ray(pixel: jax.Array, intrinsics: jax.Array) -> jax.Array:
    """The point at z = 1 that a pixel shows: (..., 2), intrinsics (..., 3, 3) -> (..., 3).

    Example:
        >>> print(jax.jit(ray)(jnp.array([3.0, 1.0]), jnp.array([[2.0, 0, 1], [0, 2, 1], [0, 0, 1]])))
        [1. 0. 1.]
    """
    focal = jnp.stack([intrinsics[..., 0, 0], intrinsics[..., 1, 1]], axis=-1)
    flat = (pixel - intrinsics[..., :2, 2]) / focal
    return jnp.concatenate([flat, jnp.ones_like(flat[..., :1])], axis=-1)


def rotation_from_six(six: jax.Array) -> jax.Array:
    """The rotation whose first columns are nearest in turn to two vectors: (..., 6), a then b -> (..., 3, 3).

    Columns x = a / |a|, z = x b / |x b| (the cross product), y = z x. Where a has no length x is the first axis; where
    b lies along a, z is normal to x and to the axis that is farthest from x; gradients are finite there too.

    Example:
        >>> print(jax.jit(rotation_from_six)(jnp.array([0.0, 2, 0, -3, 1, 0])) + 0.0)
        [[ 0. -1.  0.]
         [ 1.  0.  0.]
         [ 0.  0.  1.]]
    """
    x = _unit(six[..., :3], jnp.broadcast_to(jnp.eye(3)[0], (*six.shape[:-1], 3)))
    aside = jnp.eye(3)[jnp.argmin(jnp.abs(x), axis=-1)]  # at least 54 degrees from x
    z = _unit(jnp.cross(x, six[..., 3:]), _unit(jnp.cross(x, aside), aside))
    return jnp.stack([x, jnp.cross(z, x), z], axis=-1)


def ray_rotation(direction: jax.Array) -> jax.Array:
    """The smallest rotation that turns the optical axis to a direction in front of the camera: (..., 3) -> (..., 3, 3).

    R = I + [v] + [v]^2 / (1 + cos), v = (0, 0, 1) x t / |t|; smooth on the optical axis.

    Example:
        >>> print((5 * jax.jit(ray_rotation)(jnp.array([3.0, 0.0, 4.0]))).round() + 0.0)
        [[ 4.  0.  3.]
         [ 0.  5.  0.]
         [-3.  0.  4.]]
    """
    t = direction / jnp.linalg.norm(direction, axis=-1, keepdims=True)
    x, y, cos = t[..., 0], t[..., 1], t[..., 2]
    zero, below = jnp.zeros_like(x), 1 + cos  # v = (-y, x, 0)
    rows = [[zero, zero, x], [zero, zero, y], [-x, -y, zero]]
    squares = [[-x * x, -x * y, zero], [-x * y, -y * y, zero], [zero, zero, -(x * x) - y * y]]
    cross, square = (jnp.stack([jnp.stack(row, axis=-1) for row in m], axis=-2) for m in (rows, squares))
    return jnp.eye(3, dtype=t.dtype) + cross + square / below[..., None, None]


def _unit(vector: jax.Array, otherwise: jax.Array) -> jax.Array:
    """The vector's direction, or another where it has none: no gradient flows there."""
    square = jnp.sum(vector**2, axis=-1, keepdims=True)
    there = square > _SHORT
    return jnp.where(there, vector / jnp.sqrt(jnp.where(there, square, 1.0)), otherwise)
