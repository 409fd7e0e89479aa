"""The loss of several predicted paths, of which the best is drawn to the true one (MTP: Cui 2019)."""

import jax
import jax.numpy as jnp
import optax

from mtljax.tasks.losses.masked import number

ALL, CHOICE = 0.1, 0.2  # weights of the mean over modes and of the cross-entropy


def modes_loss(paths: jax.Array, logits: jax.Array, truth: jax.Array, valid: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The least mean distance of a mode, 0.1 times the mean over modes, and 0.2 times the best one's cross-entropy.

    Args:
        paths: (..., k, T, D), predicted modes.
        logits: (..., k), of the modes.
        truth: (..., T, D), in the same unit.
        valid: (..., T) bool, the steps that are known.

    Returns:
        Total and count over the paths with a known step, two float32 scalars. Gradients are finite where a mode meets
        the truth.

    Example:
        >>> paths = jnp.array([[[0.0, 0.0]], [[3.0, 4.0]]])  # two modes of one step
        >>> total, count = jax.jit(modes_loss)(paths, jnp.zeros(2), jnp.zeros((1, 2)), jnp.array([True]))
        >>> print(f"{total:.3f} {count:.0f}")  # 0.1 * 5 / 2 + 0.2 * ln 2
        0.389 1
    """
    known = jnp.any(valid, axis=-1)
    difference = jnp.where(valid[..., None, :, None], paths.astype(jnp.float32) - truth[..., None, :, :], 0.0)
    square = jnp.sum(difference**2, axis=-1)
    distance = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
    steps = jnp.maximum(jnp.sum(valid, axis=-1), 1)[..., None]
    mean = jnp.sum(distance, axis=-1) / steps  # (..., k)
    logits = jnp.where(known[..., None], logits.astype(jnp.float32), 0.0)
    choice = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.argmin(mean, axis=-1))
    each = jnp.min(mean, axis=-1) + ALL * jnp.mean(mean, axis=-1) + CHOICE * choice
    return jnp.sum(jnp.where(known, each, 0.0)), number(known)
