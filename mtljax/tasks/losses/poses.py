"""The loss of objects' poses: no object pays for a turn after which it looks the same (point matching: Wang 2021)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mtljax.objects.poses import Numbers
from mtljax.objects.symmetry import SPHERE, nearest
from mtljax.tasks.losses.detection import l1_of
from mtljax.tasks.losses.masked import number

ROTATION, SHIFT, DEPTH, SIZES = 2.0, 0.5, 3.0, 0.3  # weights


class TruePose(NamedTuple):
    """How objects lie.

    Attributes:
        rotation: (..., 3, 3), object to camera.
        shift: (..., 2), from the box's centre to the image of the object's centre, in cells.
        depth: (...), z in metres; anything where the object does not count.
        half_sizes: (..., 3), metres; likewise.
        kind: (...) integers, see `mtljax.objects.symmetry`.
    """

    rotation: jax.Array
    shift: jax.Array
    depth: jax.Array
    half_sizes: jax.Array
    kind: jax.Array


def rotation_errors(rotation: jax.Array, truth: jax.Array, half_sizes: jax.Array) -> jax.Array:
    """The mean over axes of |(R - R_g) s_i e_i|, the L1 norm: how far the ends of the half axes are off.

    Args:
        rotation: (..., 3, 3).
        truth: (..., 3, 3), the nearest of those that look the same.
        half_sizes: (..., 3), s, along the columns of the truth.

    Returns:
        (...), metres.

    Example:
        >>> print(jax.jit(rotation_errors)(jnp.diag(jnp.array([1.0, -1, -1])), jnp.eye(3), jnp.array([9.0, 3.0, 0.0])))
        2.0
    """
    return jnp.sum(jnp.abs((rotation - truth) * half_sizes[..., None, :]), axis=(-2, -1)) / 3


def pose_loss(rotation: jax.Array, numbers: Numbers, truth: TruePose, counts: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Rotation, shift, logarithms of depth and of sizes: weighted L1 errors, summed over the objects that count.

    Args:
        rotation: (..., 3, 3), that the numbers make.
        numbers: the prediction at the objects' centres.
        truth: of each object.
        counts: (...) bool.

    Returns:
        Total and count, two float32 scalars.
    """
    there = counts[..., None, None]
    rotation = jnp.where(there, rotation, jnp.eye(3))
    half_sizes = jnp.where(counts[..., None], truth.half_sizes, 1.0)
    turned, sizes = nearest(rotation, jnp.where(there, truth.rotation, jnp.eye(3)), truth.kind, half_sizes)
    # A sphere has no rotation to be wrong; of R - R rounding would leave something, and an L1 norm its sign.
    turns = jnp.where(truth.kind == SPHERE, 0.0, rotation_errors(rotation, turned, sizes))
    log_depth = jnp.log(jnp.where(counts, truth.depth, 1.0))
    each = (
        ROTATION * turns
        + SHIFT * l1_of(numbers.shift, truth.shift, counts)
        + DEPTH * l1_of(numbers.log_depth[..., None], log_depth[..., None], counts)
        + SIZES * l1_of(numbers.log_sizes, jnp.log(sizes), counts)
    )
    return jnp.sum(jnp.where(counts, each, 0.0)), number(counts)
