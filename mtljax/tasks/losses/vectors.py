"""Vectors along the last axis: lengths, directions and angles, whose gradients are finite at 0."""

import jax
import jax.numpy as jnp


def unit(x: jax.Array) -> jax.Array:
    """Vectors of length 1 along the last axis; the gradient at 0 is finite.

    Example:
        >>> import jax.numpy as jnp
        >>> print(unit(jnp.array([3.0, 0.0, 4.0])))
        [0.6 0.  0.8]
    """
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x**2, axis=-1, keepdims=True), 1e-12))


def length(x: jax.Array) -> jax.Array:
    """(..., C) -> (..., 1); the gradient at 0 is 0.

    Example:
        >>> import jax.numpy as jnp
        >>> print(length(jnp.array([3.0, 4.0])))
        [5.]
    """
    square = jnp.sum(x**2, axis=-1, keepdims=True)
    return jnp.where(square == 0, 0.0, jnp.sqrt(jnp.where(square == 0, 1.0, square)))  # of NaN, NaN


def degrees(p: jax.Array, g: jax.Array) -> jax.Array:
    """The angle between vectors of any length, (..., 3) -> (...); 90 where one has no direction.

    Example:
        >>> import jax.numpy as jnp
        >>> print(degrees(jnp.array([2.0, 0.0, 0.0]), jnp.array([0.0, 0.0, -3.0])))
        90.0
    """

    def scaled(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        largest = jnp.max(jnp.abs(x), axis=-1, keepdims=True)
        return unit(x / jnp.where(largest == 0, 1.0, largest)), largest[..., 0] == 0

    (p, no_p), (g, no_g) = scaled(p), scaled(g)
    # atan2 of sine and cosine: exact near 0, where arccos is not.
    sine = jnp.linalg.norm(jnp.cross(p, g), axis=-1)
    return jnp.where(no_p | no_g, 90.0, jnp.degrees(jnp.arctan2(sine, jnp.sum(p * g, axis=-1))))
