"""Penalties on maps that bend where there is no reason to: (..., H, W, C) maps -> (...) means over an image."""

import jax
import jax.numpy as jnp

_RELEASE = 10.0  # exp(-10 E): what an edge of probability E forgives
_EDGE_WEIGHTS = {"depth": 2.0, "normals": 0.01, "edges": 0.15}  # as LEGO's authors train


def inverse_depth(depth: jax.Array) -> jax.Array:
    """1 / depth over its mean in the image, so that smoothness is not had by scale: (..., H, W, 1)."""
    inverse = 1 / jnp.maximum(depth, 1e-3)
    return inverse / jnp.mean(inverse, axis=(-3, -2), keepdims=True)


def edge_aware(smooth: jax.Array, image: jax.Array) -> jax.Array:
    """Mean |d x| exp(-mean_c |d I|) over both directions (Monodepth2, Godard et al. 2019, eq. 3).

    Args:
        smooth: (..., H, W, 1).
        image: (..., H, W, 3).
    """
    added = 0.0
    for axis in (-3, -2):
        weight = jnp.exp(-jnp.mean(jnp.abs(_difference(image, axis)), axis=-1, keepdims=True))
        added += jnp.mean(jnp.abs(_difference(smooth, axis)) * weight, axis=(-3, -2, -1))
    return added


def edge_released(depth: jax.Array, normals: jax.Array, edges: jax.Array) -> jax.Array:
    """LEGO's smoothness (Yang et al. 2018): |d2 x| exp(-10 E) of inverse depth and normals, and mean E^2.

    A plane has neither: its inverse depth is linear in the pixel's place. Curvature of either sign counts (the authors'
    code drops the negative one). Weights are the authors': 2, 0.01 and 0.15.

    Args:
        depth: (..., H, W, 1) metres.
        normals: (..., H, W, 3) unit vectors.
        edges: probabilities E, (..., H, W, 1).
    """
    bent = {"depth": inverse_depth(depth), "normals": normals}
    added = _EDGE_WEIGHTS["edges"] * jnp.mean(edges**2, axis=(-3, -2, -1))
    for key, x in bent.items():
        for axis in (-3, -2):
            here = jax.lax.slice_in_dim(edges, 1, edges.shape[axis] - 1, axis=edges.ndim + axis)
            curvature = jnp.abs(_difference(_difference(x, axis), axis))
            added += _EDGE_WEIGHTS[key] * jnp.mean(curvature * jnp.exp(-_RELEASE * here), axis=(-3, -2, -1))
    return added


def reduced(x: jax.Array, factor: int) -> jax.Array:
    """(..., H, W, C) averaged over blocks of `factor` x `factor` pixels; what is over at the end is left out."""
    if factor == 1:
        return x
    height, width = (length // factor for length in x.shape[-3:-1])
    x = x[..., : height * factor, : width * factor, :]
    x = x.reshape(*x.shape[:-3], height, factor, width, factor, x.shape[-1])
    return jnp.mean(x, axis=(-4, -2))


def _difference(x: jax.Array, axis: int) -> jax.Array:
    return jnp.diff(x, axis=axis)
