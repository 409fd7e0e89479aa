"""Sums over valid pixels in which nothing that is masked out can leak, not even a NaN into a gradient."""

import jax
import jax.numpy as jnp
import numpy as np


def where_valid(prediction: jax.Array | np.ndarray, valid: jax.Array, otherwise: float = 0.0) -> jax.Array:
    """The prediction in float32, with a constant in place of what is not valid, so that no gradient flows there."""
    return jnp.where(valid, prediction.astype(jnp.float32), otherwise)


def number(valid: jax.Array, axis: tuple[int, ...] | None = None) -> jax.Array:
    """How many are True, float32, over some axes or all: counted in integers, which do not stop at 2^24."""
    return jnp.sum(valid, axis=axis, dtype=jnp.int32).astype(jnp.float32)


def image_means(values: jax.Array, valid: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The mean of (..., H, W, 1) over each image's valid pixels, and whether it has any: two (...) float32."""
    count = number(valid, axis=(-3, -2, -1))
    total = jnp.sum(jnp.where(valid, values, 0.0), axis=(-3, -2, -1))
    return total / jnp.maximum(count, 1.0), (count > 0).astype(jnp.float32)


def total_and_count(per_image: jax.Array, has_any: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The sum over the images that have valid pixels, and their number."""
    return jnp.sum(jnp.where(has_any > 0, per_image, 0.0)), jnp.sum(has_any)
