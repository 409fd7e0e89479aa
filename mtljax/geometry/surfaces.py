"""Surfaces from depth: normals of planes that are fitted to it, and how neighbouring pixels' surfaces meet.

Leading axes of all arguments broadcast. With `xp=np` formulas are computed by NumPy.
"""

import functools
from collections.abc import Sequence
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.geometry.camera import Array, pixel_grid

FAR_OFF = 1e30  # inverse depth of what is no neighbour
SAME_SURFACE = 0.04  # of the depth: neighbours that differ more do not share a plane
EDGE_COSINE = float(np.cos(np.radians(30)))  # of normals side by side, below which there is an edge
EDGE_STEP = 0.05  # of the depth, off the tangent planes of both sides, above which there is one


_dot = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def normals_from_depth(
    depth: jax.Array, valid: jax.Array, intrinsics: jax.Array, radius: int = 1
) -> tuple[jax.Array, jax.Array]:
    """Fits a plane to the neighbours of every pixel that lie on its surface; differentiable in depth.

    On a plane inverse depth is linear in the pixel's coordinates: 1/z = a u + b v + c, fitted by least squares over a
    window; the plane's normal is (a fx, b fy, a cx + b cy + c), turned to face the camera. Which neighbours lie on the
    surface has no gradient. `mtljax.data.labels.normals` does the same in NumPy.

    Args:
        depth: (..., H, W, 1) metres.
        valid: (..., H, W, 1) bool.
        intrinsics: (..., 3, 3), for pixel centres at integers + 0.5.
        radius: of the window.

    Returns:
        Normals (..., H, W, 3), unit vectors in the camera frame (0 where not valid), and their mask (..., H, W, 1):
        False where the depth is not valid or fewer than half of the window lies on the surface.

    Example:
        >>> import jax.numpy as jnp
        >>> from mtljax.geometry import pinhole
        >>> wall, there = jnp.full((4, 4, 1), 2.0), jnp.ones((4, 4, 1), bool)
        >>> normals, valid = normals_from_depth(wall, there, jnp.asarray(pinhole(9.0, 4, 4)))
        >>> print(normals[1, 1] + 0.0, valid[1, 1])
        [ 0.  0. -1.] [ True]
    """
    inverse = jnp.where(valid, 1 / jnp.where(valid, depth, 1.0), 0.0)[..., 0]
    sums = _window_sums(inverse, valid[..., 0], radius)
    normal, solvable = normals_of_fit(list(sums), inverse, valid[..., 0], intrinsics, radius)
    return normal, solvable[..., None]


def normals_of_fit(
    sums: Sequence[Array],
    inverse: Array,
    valid: Array,
    intrinsics: Array,
    radius: int,
    top: int = 0,
    xp: ModuleType = jnp,
) -> tuple[Array, Array]:
    """The normals of planes fitted to windows, by sums over each window's neighbours on its pixel's surface.

    Args:
        sums: (9, ..., h, w) of 1, u, v, uu, uv, vv, q, uq, vq: u and v are relative to the pixel, q is the neighbour's
            inverse depth relative to the pixel's.
        inverse: (..., h, w) inverse depths.
        valid: (..., h, w) bool.
        intrinsics: (..., 3, 3).
        radius: of the window.
        top: the first row's place in the image.
        xp: `jax.numpy`, or `numpy`.

    Returns:
        Normals (..., h, w, 3), 0 where there is none, and their mask (..., h, w).
    """
    n, u, v, uu, uv, vv, q, uq, vq = sums
    solvable = valid & (n >= (2 * radius + 1) ** 2 / 2)
    # Centred moments, then a 2 x 2 system by Cramer's rule.
    count = xp.maximum(n, 1)
    uu, uv, vv = uu - u * u / count, uv - u * v / count, vv - v * v / count
    uq, vq = uq - u * q / count, vq - v * q / count
    determinant = uu * vv - uv * uv
    solvable = solvable & (determinant > 1e-6)
    determinant = xp.where(solvable, determinant, 1.0)
    a, b = (uq * vv - vq * uv) / determinant, (vq * uu - uq * uv) / determinant
    c = inverse + (q - a * u - b * v) / count
    height, width = inverse.shape[-2:]
    columns, rows = xp.moveaxis(pixel_grid(height, width, xp), -1, 0)
    k = intrinsics[..., None, None]
    fx, fy, cx, cy = k[..., 0, 0, :, :], k[..., 1, 1, :, :], k[..., 0, 2, :, :], k[..., 1, 2, :, :]
    # The fit's origin is each pixel's own centre.
    normal = xp.stack([a * fx, b * fy, c + a * (cx - columns) + b * (cy - rows - top)], axis=-1)
    square = xp.sum(normal**2, axis=-1)
    solvable = solvable & (square > 1e-18)
    length = xp.sqrt(xp.where(solvable, square, 1.0))
    # n . P = d > 0 here, so that the normal points away from the camera.
    return xp.where(solvable[..., None], -normal / length[..., None], 0.0), solvable


def meeting(points: Array, depth: Array, normal: Array, axis: int, xp: ModuleType = jnp) -> tuple[Array, Array]:
    """How the surfaces of pixels and of their next neighbours along an axis meet.

    Args:
        points: (..., H, W, 3) metres, in any frame.
        depth: (..., H, W) metres.
        normal: (..., H, W, 3) unit vectors, in the same frame.
        axis: 0 down, 1 to the right.
        xp: `jax.numpy`, or `numpy`.

    Returns:
        The cosine of the angle between the normals, and how far each point lies off the other's tangent plane, the
        less of both, as a share of the nearer depth: two (..., H - 1, W) or (..., H, W - 1).

    Example:
        >>> import numpy as np
        >>> points, normal = np.array([[[0.0, 0, 2], [0, 0, 3]]]), np.array([[[0.0, 0, -1], [0, 0, -1]]])
        >>> print(*meeting(points, points[..., 2], normal, axis=1, xp=np))
        [[1.]] [[0.5]]
    """

    def both(x: Array, trailing: int) -> tuple[Array, Array]:
        rest = (slice(None),) * (1 - axis + trailing)
        return x[(..., slice(None, -1), *rest)], x[(..., slice(1, None), *rest)]

    (here, there), (n, m), (z, w) = both(points, 1), both(normal, 1), both(depth, 0)
    step = there - here
    off = xp.minimum(*(xp.abs(xp.sum(side * step, axis=-1)) for side in (n, m)))
    nearest = xp.minimum(z, w)
    share = off / xp.where(nearest > 0, nearest, 1.0)
    # Where there is no depth, as in a sky, any step is a large one.
    return xp.sum(n * m, axis=-1), xp.where(nearest > 0, share, xp.where(off > 0, FAR_OFF, 0.0))


def _window_sums(inverse: jax.Array, valid: jax.Array, radius: int) -> jax.Array:
    """Sums over each pixel's window as `normals_of_fit` takes them: (..., h, w) -> (9, ..., h, w)."""
    height, width = inverse.shape[-2:]
    edges = [(0, 0)] * (inverse.ndim - 2) + [(radius, radius)] * 2
    around = jnp.pad(jnp.where(valid, inverse, FAR_OFF), edges, constant_values=FAR_OFF)
    shifts = np.stack(np.meshgrid(*[np.arange(-radius, radius + 1)] * 2), axis=-1).reshape(-1, 2)
    # Shifted copies and products: written out as sums, it takes XLA minutes to compile the gradient.
    there = jnp.stack(
        [around[..., radius + v : radius + v + height, radius + u : radius + u + width] for u, v in shifts], axis=-1
    )
    here = inverse[..., None]
    same = jnp.abs(jax.lax.stop_gradient(there - here)) < SAME_SURFACE * jax.lax.stop_gradient(here)
    u, v = np.asarray(shifts.T, inverse.dtype)
    counts = _dot(same.astype(inverse.dtype), np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1))
    firsts = _dot(jnp.where(same, there, here) - here, np.stack([np.ones_like(u), u, v], axis=1))
    return jnp.moveaxis(jnp.concatenate([counts, firsts], axis=-1), -1, 0)
