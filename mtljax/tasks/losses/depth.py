"""Losses on depth maps, each one value an image: (prediction, truth, valid), all (..., H, W, 1) -> (...), (...)."""

from typing import Any

import jax
import jax.numpy as jnp

from mtljax.tasks.losses.masked import image_means
from mtljax.tasks.losses.virtual_normal import virtual_normal

_SMALLEST = 1e-3  # metres; a prediction below it has this logarithm


def l1(p: jax.Array, g: jax.Array, valid: jax.Array, _: Any) -> tuple[jax.Array, jax.Array]:
    """Mean |p - g|."""
    return image_means(jnp.abs(p - g), valid)


def berhu(p: jax.Array, g: jax.Array, valid: jax.Array, _: Any) -> tuple[jax.Array, jax.Array]:
    """The reverse Huber loss (Laina et al. 2016, eq. 1), c = 0.2 max|p - g| over the image."""
    error = jnp.abs(p - g)
    largest = jnp.max(jnp.where(valid, error, 0.0), axis=(-3, -2, -1), keepdims=True)
    c = jax.lax.stop_gradient(jnp.maximum(0.2 * largest, 1e-6))
    return image_means(jnp.where(error <= c, error, (error**2 + c**2) / (2 * c)), valid)


def silog(p: jax.Array, g: jax.Array, valid: jax.Array, _: Any) -> tuple[jax.Array, jax.Array]:
    """Scale-invariant error in log space (Eigen et al. 2014, eq. 4), lambda = 0.5."""
    e = log_error(p, g, valid)
    mean, has_any = image_means(e, valid)
    return image_means(e**2, valid)[0] - 0.5 * mean**2, has_any


def silog_gradient(p: jax.Array, g: jax.Array, valid: jax.Array, _: Any) -> tuple[jax.Array, jax.Array]:
    """`silog` and the mean square of the log error's gradient (Eigen & Fergus 2015, eq. 1)."""
    value, has_any = silog(p, g, valid, None)
    e = log_error(p, g, valid)
    down = image_means((e[..., 1:, :, :] - e[..., :-1, :, :]) ** 2, valid[..., 1:, :, :] & valid[..., :-1, :, :])[0]
    right = image_means((e[..., 1:, :] - e[..., :-1, :]) ** 2, valid[..., 1:, :] & valid[..., :-1, :])[0]
    return value + down + right, has_any


def log_error(p: jax.Array, g: jax.Array, valid: jax.Array) -> jax.Array:
    """log p - log g where valid, else 0."""
    return jnp.where(valid, jnp.log(jnp.maximum(p, _SMALLEST)) - jnp.log(jnp.where(valid, g, 1.0)), 0.0)


LOSSES = {
    "l1": l1,
    "berhu": berhu,
    "silog": silog,
    "silog_gradient": silog_gradient,
    "virtual_normal": virtual_normal,
}
