"""Rigid motions: 6-vectors (translation, then axis-angle in radians) and 4 x 4 matrices."""

from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.geometry.camera import Array
from mtljax.geometry.rotations import rotation_from

_SMALL = 1e-6  # square of an angle below which its series is used


def rotation_of(axis_angle: jax.Array) -> jax.Array:
    """The rotation matrix of an axis-angle vector (Rodrigues): (..., 3) radians -> (..., 3, 3).

    The gradient is finite everywhere, at 0 too.

    Example:
        >>> import jax.numpy as jnp
        >>> print(rotation_of(jnp.array([0.0, 0.0, jnp.pi / 2])).round(3) + 0.0)
        [[ 0. -1.  0.]
         [ 1.  0.  0.]
         [ 0.  0.  1.]]
    """
    square = jnp.sum(axis_angle**2, axis=-1)[..., None, None]
    small = square < _SMALL
    angle = jnp.sqrt(jnp.where(small, 1.0, square))
    sine = jnp.where(small, 1 - square / 6, jnp.sin(angle) / angle)
    versine = jnp.where(small, 0.5 - square / 24, 2 * (jnp.sin(angle / 2) / angle) ** 2)
    x, y, z = jnp.moveaxis(axis_angle, -1, 0)
    zero = jnp.zeros_like(x)
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    cross = jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
    return jnp.eye(3, dtype=axis_angle.dtype) + sine * cross + versine * _product(cross, cross)


def rotation_of_quaternion(quaternion: jax.Array) -> jax.Array:
    """The rotation matrix of a quaternion (w, x, y, z) of any length: (..., 4) -> (..., 3, 3); of zeros, no rotation.

    Example:
        >>> import jax.numpy as jnp
        >>> print(rotation_of_quaternion(jnp.array([1.0, 0.0, 0.0, 1.0])).round(3) + 0.0)
        [[ 0. -1.  0.]
         [ 1.  0.  0.]
         [ 0.  0.  1.]]
    """
    square = jnp.sum(quaternion**2, axis=-1)
    double = 2 / jnp.where(square > 0, square, 1.0)
    w, x, y, z = jnp.moveaxis(quaternion, -1, 0)
    rows = [
        [1 - double * (y * y + z * z), double * (x * y - w * z), double * (x * z + w * y)],
        [double * (x * y + w * z), 1 - double * (x * x + z * z), double * (y * z - w * x)],
        [double * (x * z - w * y), double * (y * z + w * x), 1 - double * (x * x + y * y)],
    ]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def matrix_of(motion: jax.Array) -> jax.Array:
    """The matrix of a motion: (..., 6), translation then axis-angle -> (..., 4, 4).

    Example:
        >>> import jax.numpy as jnp
        >>> print(matrix_of(jnp.array([1.0, 2.0, 3.0, 0.0, 0.0, 0.0])))
        [[1. 0. 0. 1.]
         [0. 1. 0. 2.]
         [0. 0. 1. 3.]
         [0. 0. 0. 1.]]
    """
    upper = jnp.concatenate([rotation_of(motion[..., 3:]), motion[..., :3, None]], axis=-1)
    last = jnp.broadcast_to(jnp.array([0, 0, 0, 1], motion.dtype), (*motion.shape[:-1], 1, 4))
    return jnp.concatenate([upper, last], axis=-2)


def motion_of(matrix: jax.Array) -> jax.Array:
    """The motion of a rigid matrix: (..., 4, 4) -> (..., 6), the angle in [0, pi]. The inverse of `matrix_of`.

    Not differentiable at a rotation by pi.

    Example:
        >>> import jax.numpy as jnp
        >>> motion = jnp.array([1.0, 2.0, 3.0, 0.1, 0.2, 0.3])
        >>> bool(jnp.allclose(motion_of(matrix_of(motion)), motion, atol=1e-6))
        True
    """
    quaternion = _quaternion_of(matrix[..., :3, :3])
    w, vector = quaternion[..., :1], quaternion[..., 1:]
    square = jnp.sum(vector**2, axis=-1, keepdims=True)
    small = square < _SMALL
    sine = jnp.sqrt(jnp.where(small, 1.0, square))
    factor = jnp.where(small, 2 / jnp.maximum(w, 0.5), 2 * jnp.arctan2(sine, w) / sine)
    return jnp.concatenate([matrix[..., :3, 3], factor * vector], axis=-1)


def inverse(matrix: Array, xp: ModuleType = jnp) -> Array:
    """The inverse of a rigid matrix, (..., 4, 4), by JAX or with `xp=np` by NumPy: its rotation transposed, no solver.

    Example:
        >>> import jax.numpy as jnp
        >>> motion = matrix_of(jnp.array([1.0, 2.0, 3.0, 0.1, 0.2, 0.3]))
        >>> bool(jnp.allclose(inverse(motion) @ motion, jnp.eye(4), atol=1e-6))
        True
    """
    turned = xp.swapaxes(matrix[..., :3, :3], -1, -2)
    moved = -xp.sum(turned * matrix[..., None, :3, 3], axis=-1, keepdims=True)
    return xp.concatenate([xp.concatenate([turned, moved], axis=-1), matrix[..., 3:, :]], axis=-2)


def pose_matrices(positions: np.ndarray, quaternions: np.ndarray) -> np.ndarray:
    """Poses as matrices, by NumPy: (..., 3) metres and (..., 4) quaternions (w, x, y, z) -> (..., 4, 4) float64.

    Example:
        >>> print(pose_matrices(np.array([1, 2, 3]), np.array([1, 0, 0, 0])))
        [[1. 0. 0. 1.]
         [0. 1. 0. 2.]
         [0. 0. 1. 3.]
         [0. 0. 0. 1.]]
    """
    matrices = np.zeros((*np.shape(positions)[:-1], 4, 4))
    turns = rotation_from(np.reshape(quaternions, (-1, 4))).as_matrix()
    matrices[..., :3, :3] = turns.reshape(*matrices.shape[:-2], 3, 3)
    matrices[..., :3, 3] = positions
    matrices[..., 3, 3] = 1
    return matrices


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    """a @ b, in full precision on any device."""
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def _quaternion_of(rotation: jax.Array) -> jax.Array:
    """(..., 3, 3) -> (..., 4), w x y z with w >= 0: of four ways the one that divides by the largest part."""
    r = rotation
    trace = r[..., 0, 0] + r[..., 1, 1] + r[..., 2, 2]
    diagonal = [r[..., i, i] for i in range(3)]
    squares = jnp.stack([trace, *(2 * d - trace for d in diagonal)], axis=-1) + 1  # four times each part's square
    a, b, c = r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]
    xy, xz, yz = r[..., 0, 1] + r[..., 1, 0], r[..., 0, 2] + r[..., 2, 0], r[..., 1, 2] + r[..., 2, 1]
    w2, x2, y2, z2 = jnp.moveaxis(squares, -1, 0)
    rows = [[w2, a, b, c], [a, x2, xy, xz], [b, xy, y2, yz], [c, xz, yz, z2]]
    every = jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
    largest = jnp.argmax(squares, axis=-1)[..., None, None]
    quaternion = jnp.take_along_axis(every, largest, axis=-2)[..., 0, :]
    quaternion = quaternion / jnp.linalg.norm(quaternion, axis=-1, keepdims=True)
    return jnp.where(quaternion[..., :1] < 0, -quaternion, quaternion)
