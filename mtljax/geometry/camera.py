"""Pinhole cameras: from pixels to points and back. Pixel centres are at integers + 0.5; z is along the view.

Leading axes of all arguments broadcast: intrinsics (B, 1, 3, 3) go with the depth of clips, (B, s, H, W, 1). With
`xp=np` the same formulas are computed by NumPy, in the arguments' own precision: labels are, in float64.
"""

from types import ModuleType
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Array = TypeVar("Array", jax.Array, np.ndarray)

NEAR = 1e-3  # metres: what is nearer has no image


def pinhole(focal: float, height: int, width: int) -> np.ndarray:
    """The intrinsics of a camera that looks through the middle of its images, (3, 3) float64, in pixels.

    Example:
        >>> print(pinhole(9.0, height=4, width=6))
        [[9. 0. 3.]
         [0. 9. 2.]
         [0. 0. 1.]]
    """
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


def pixel_grid(height: int, width: int, xp: ModuleType = jnp) -> jax.Array:
    """The centres of all pixels, (H, W, 2) as (x, y).

    Example:
        >>> print(pixel_grid(1, 2))
        [[[0.5 0.5]
          [1.5 0.5]]]
    """
    x, y = xp.meshgrid(xp.arange(width) + 0.5, xp.arange(height) + 0.5)
    return xp.stack([x, y], axis=-1)


def backproject(depth: Array, intrinsics: Array, xp: ModuleType = jnp) -> Array:
    """The points that pixels show: z-depth (..., H, W, 1) in metres, intrinsics (..., 3, 3) -> (..., H, W, 3).

    Example:
        >>> import jax.numpy as jnp
        >>> k = jnp.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
        >>> print(backproject(jnp.full((1, 2, 1), 2.0), k)[0])
        [[-1.  0.  2.]
         [ 1.  0.  2.]]
    """
    focal, centre = _focal_and_centre(intrinsics, xp)
    height, width = depth.shape[-3:-1]
    flat = (pixel_grid(height, width, xp) - centre) / focal
    return xp.concatenate([flat, xp.ones_like(flat[..., :1])], axis=-1) * depth


def transform(matrix: Array, points: Array) -> Array:
    """Points (..., H, W, 3) moved by rigid matrices (..., 4, 4).

    Example:
        >>> import jax.numpy as jnp
        >>> from mtljax import geometry
        >>> motion = geometry.matrix_of(jnp.array([1.0, 2.0, 3.0, 0.0, 0.0, 0.0]))
        >>> print(transform(motion, jnp.zeros((1, 1, 3))))
        [[[1. 2. 3.]]]
    """
    m = matrix[..., None, None, :3, :]
    # Written out: a product of 3 x 3 would go through units of low precision on accelerators.
    return sum(m[..., i] * points[..., i : i + 1] for i in range(3)) + m[..., 3]


def project(points: Array, intrinsics: Array, near: float = NEAR, xp: ModuleType = jnp) -> tuple[Array, Array]:
    """Where a camera sees points: (..., H, W, 3) in its frame, intrinsics (..., 3, 3) -> pixels (..., H, W, 2).

    Gradients are finite everywhere: a point behind the camera, or nearer than `near` metres (by default a millimetre),
    is given the principal point and no gradient.

    Returns:
        Pixels as (x, y), and whether the point is in front of the camera, (..., H, W, 1) bool.

    Example:
        >>> import jax.numpy as jnp
        >>> k = jnp.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
        >>> pixels, in_front = project(jnp.array([[[1.0, 0.0, 2.0], [1.0, 0.0, -2.0]]]), k)
        >>> print(pixels, in_front[..., 0])
        [[[1.5 0.5]
          [1.  0.5]]] [[ True False]]
    """
    focal, centre = _focal_and_centre(intrinsics, xp)
    in_front = points[..., 2:] > near
    flat = xp.where(in_front, points[..., :2], 0.0) / xp.where(in_front, points[..., 2:], 1.0)
    return focal * flat + centre, in_front


def _focal_and_centre(intrinsics: Array, xp: ModuleType) -> tuple[Array, Array]:
    focal = xp.stack([intrinsics[..., 0, 0], intrinsics[..., 1, 1]], axis=-1)
    return focal[..., None, None, :], intrinsics[..., None, None, :2, 2]
