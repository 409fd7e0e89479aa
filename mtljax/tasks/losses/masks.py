"""The dice loss of objects' masks (V-Net: Milletari 2016; CondInst: Tian 2020)."""

import jax
import jax.numpy as jnp

from mtljax.tasks.losses.masked import number

SMOOTH = 1e-5


def dice(logits: jax.Array, masks: jax.Array, counts: jax.Array) -> tuple[jax.Array, jax.Array]:
    """1 - 2 sum(p g) / (sum p^2 + sum g^2 + 1e-5) of each object, p the probability of its pixels.

    Args:
        logits: (..., M, H, W).
        masks: (..., M, H, W), 1 or True on the object.
        counts: (..., M) bool.

    Returns:
        Total and count over the objects that count, two float32 scalars.

    Example:
        >>> mask = jnp.array([[[True, False]]])
        >>> total, count = jax.jit(dice)(jnp.where(mask, 50.0, -50.0), mask, jnp.array([True]))
        >>> print(total.round(3), count)
        0.0 1.0
    """
    there = counts[..., None, None]
    p = jax.nn.sigmoid(jnp.where(there, logits.astype(jnp.float32), 0.0))
    g = jnp.where(there, masks, 0).astype(jnp.float32)
    both, sizes = (jnp.sum(x, axis=(-2, -1)) for x in (p * g, p * p + g * g))
    return jnp.sum(jnp.where(counts, 1 - 2 * both / (sizes + SMOOTH), 0.0)), number(counts)
