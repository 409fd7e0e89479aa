"""Direct alignment, without parameters: the camera's motion that makes two feature maps one."""

import jax
import jax.numpy as jnp

from mtljax import geometry
from mtljax.models.heads.motion.matching import gradients

_LEAST = 1e-6
_LONGEST = 1.0  # cells that the image may move in a step, on the whole: differences tell of no more
_EXACT = jax.lax.Precision.HIGHEST


def aligned(
    motion: jax.Array,
    first: jax.Array,
    second: jax.Array,
    weight: jax.Array,
    inverse_depth: jax.Array,
    intrinsics: jax.Array,
    damping: jax.Array,
    tolerance: jax.Array,
) -> jax.Array:
    """A motion after one step of Gauss and Newton: the second map, seen from the first, is then more like it.

    Lucas and Kanade (1981), with a rigid motion in the place of a shift.

    Args:
        motion: (N, 6) metres and axis-angle, from points of the second camera to the first's.
        first: (N, h, w, C) features.
        second: (N, h, w, C).
        weight: (N, h, w, 1), how much each cell is trusted.
        inverse_depth: (N, h, w, 1) 1/m, of the first.
        intrinsics: (N, 3, 3), in cells.
        damping: (N, 6), in units of the motion field's squares: what pulls the motion to 0.
        tolerance: a difference of features; cells that differ by more count for less (Cauchy's weights).

    Returns:
        (N, 6).

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> x, y = jnp.meshgrid(jnp.arange(12.0), jnp.arange(9.0))
        >>> first, second = (jnp.stack([jnp.sin(x - t), jnp.sin(y)], axis=-1)[None] for t in (0.0, 0.4))  # to the right
        >>> intrinsics = jnp.array([[[10.0, 0, 6], [0, 10, 4.5], [0, 0, 1]]])
        >>> one, still = jnp.ones((1, 9, 12, 1)), jnp.zeros((1, 6))
        >>> pull = jnp.array([[1e-3, 1e-3, 1e3, 1e3, 1e3, 1e3]])  # across the view alone
        >>> moved = jax.jit(aligned)(still, first, second, one, one, intrinsics, pull, jnp.array(10.0))
        >>> print((-10 * moved[0, :2]).round(1) + 0.0)  # cells
        [0.5 0. ]
    """
    first, second = first.astype(jnp.float32), second.astype(jnp.float32)
    height, width = first.shape[1:3]
    to_second = geometry.inverse(geometry.matrix_of(motion))
    pixels, in_front = geometry.seen_from(1 / inverse_depth, intrinsics, to_second)
    there, inside = geometry.sample(second, pixels)
    off = there - first
    far = jax.lax.stop_gradient(jnp.mean(off**2, axis=-1, keepdims=True)) / tolerance**2
    trust = weight * (inside & in_front) / (1 + far)
    trust /= jnp.sum(trust, axis=(1, 2), keepdims=True) + _LEAST
    intrinsics = intrinsics[:, None, None]
    focal, centre = jnp.diagonal(intrinsics[..., :2, :2], axis1=-2, axis2=-1), intrinsics[..., :2, 2]
    across, down = gradients((first + there) / 2)
    slopes = [focal[..., :1] * across, focal[..., 1:] * down]  # with the plane at depth 1
    tensor = trust[..., None] * jnp.stack([jnp.stack([_mean(a * b) for b in slopes], -1) for a in slopes], -2)
    moment = -trust * jnp.stack([_mean(a * off) for a in slopes], axis=-1)
    field = geometry.motion_field((geometry.pixel_grid(height, width) - centre) / focal, inverse_depth[..., 0])
    field, tensor, moment = (x.reshape(len(x), height * width, *x.shape[3:]) for x in (field, tensor, moment))
    texture = jnp.sum(jnp.trace(tensor, axis1=-2, axis2=-1), axis=-1, keepdims=True) / 2
    pull = damping * (texture + _LEAST)
    # The motion as a whole is pulled, and not the step alone: so its own part of the flow is added to what is seen.
    moment += jnp.einsum("npqr,nprk,nk->npq", tensor, field, motion, precision=_EXACT)
    step = geometry.motion_from_tensors(field, tensor, moment, pull) - motion
    flow = focal[:, 0] * jnp.einsum("npqk,nk->npq", field, step, precision=_EXACT)
    length = jnp.sqrt(jnp.mean(jnp.sum(jax.lax.stop_gradient(flow) ** 2, axis=-1), axis=-1, keepdims=True))
    return motion + step * jnp.minimum(1.0, _LONGEST / jnp.maximum(length, _LEAST))


def _mean(x: jax.Array) -> jax.Array:
    return jnp.mean(x, axis=-1)
