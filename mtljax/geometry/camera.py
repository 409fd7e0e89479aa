"""Pinhole cameras: from pixels to points and back. Pixel centres are at integers + 0.5; z is along the view.

Leading axes of all arguments broadcast: intrinsics (B, 1, 3, 3) go with the depth of clips, (B, s, H, W, 1).
"""

import jax
import jax.numpy as jnp

NEAR = 1e-3  # metres: what is nearer has no image


def pixel_grid(height: int, width: int) -> jax.Array:
    """The centres of all pixels, (H, W, 2) as (x, y).

    Example:
        >>> print(pixel_grid(1, 2))
        [[[0.5 0.5]
          [1.5 0.5]]]
    """
    x, y = jnp.meshgrid(jnp.arange(width) + 0.5, jnp.arange(height) + 0.5)
    return jnp.stack([x, y], axis=-1)


def backproject(depth: jax.Array, intrinsics: jax.Array) -> jax.Array:
    """The points that pixels show: z-depth (..., H, W, 1) in metres, intrinsics (..., 3, 3) -> (..., H, W, 3).

    Example:
        >>> import jax.numpy as jnp
        >>> k = jnp.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
        >>> print(backproject(jnp.full((1, 2, 1), 2.0), k)[0])
        [[-1.  0.  2.]
         [ 1.  0.  2.]]
    """
    focal, centre = _focal_and_centre(intrinsics)
    flat = (pixel_grid(*depth.shape[-3:-1]) - centre) / focal
    return jnp.concatenate([flat, jnp.ones_like(flat[..., :1])], axis=-1) * depth


def transform(matrix: jax.Array, points: jax.Array) -> jax.Array:
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


def project(points: jax.Array, intrinsics: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Where a camera sees points: (..., H, W, 3) in its frame, intrinsics (..., 3, 3) -> pixels (..., H, W, 2).

    Gradients are finite everywhere: a point behind the camera, or nearer than a millimetre, is given the principal
    point and no gradient.

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
    focal, centre = _focal_and_centre(intrinsics)
    in_front = points[..., 2:] > NEAR
    flat = jnp.where(in_front, points[..., :2], 0.0) / jnp.where(in_front, points[..., 2:], 1.0)
    return focal * flat + centre, in_front


def _focal_and_centre(intrinsics: jax.Array) -> tuple[jax.Array, jax.Array]:
    focal = jnp.stack([intrinsics[..., 0, 0], intrinsics[..., 1, 1]], axis=-1)
    return focal[..., None, None, :], intrinsics[..., None, None, :2, 2]
