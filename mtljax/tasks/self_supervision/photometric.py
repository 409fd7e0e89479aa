"""How unlike two images are, pixel by pixel, and which pixels of a warped image are worth a comparison."""

import flax.linen as nn
import jax
import jax.numpy as jnp

_C1, _C2 = 1e-4, 9e-4
_SSIM_SHARE = 0.85
_NOISE = 1e-5


def ssim(x: jax.Array, y: jax.Array) -> jax.Array:
    """Structural similarity over 3 x 3 windows with reflected borders (Wang et al. 2004): (..., H, W, C), in [-1, 1].

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.arange(12.0).reshape(3, 4, 1) / 12
        >>> print(ssim(x, x).min().round(4), bool((ssim(x, 1 - x) < 0.9).all()))
        1.0 True
    """
    mean_x, mean_y = _mean3(x), _mean3(y)
    variances = _mean3(x * x) - mean_x**2 + _mean3(y * y) - mean_y**2
    covariance = _mean3(x * y) - mean_x * mean_y
    alike = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    return alike / ((mean_x**2 + mean_y**2 + _C1) * (variances + _C2))


def photometric_error(x: jax.Array, y: jax.Array) -> jax.Array:
    """0.85 mean_c clip((1 - SSIM) / 2, 0, 1) + 0.15 mean_c |x - y|: (..., H, W, C) -> (..., H, W, 1).

    Monodepth2 (Godard et al. 2019, eq. 2; the weights are Zhao et al.'s).
    """
    unlike = jnp.mean(jnp.clip((1 - ssim(x, y)) / 2, 0, 1), axis=-1, keepdims=True)
    return _SSIM_SHARE * unlike + (1 - _SSIM_SHARE) * jnp.mean(jnp.abs(x - y), axis=-1, keepdims=True)


def tie_breaking(shape: tuple[int, ...]) -> jax.Array:
    """Noise of 1e-5 that decides between an image that is warped by nothing and itself; the same at every call."""
    return _NOISE * jax.random.normal(jax.random.key(0), shape)


def blurred(image: jax.Array, times: int) -> jax.Array:
    """(..., H, W, C) averaged with weights (1, 2, 1) / 4 in both directions, so many times; borders reflected."""
    for axis in (image.ndim - 3, image.ndim - 2) * times:
        padded = jnp.pad(image, [(int(i == axis),) * 2 for i in range(image.ndim)], mode="reflect")
        before, here, after = (jax.lax.slice_in_dim(padded, at, at + image.shape[axis], axis=axis) for at in range(3))
        image = (before + 2 * here + after) / 4
    return image


def _mean3(x: jax.Array) -> jax.Array:
    """Means over 3 x 3 pixels of (..., H, W, C), borders reflected."""
    # XLA takes a minute to fold a window over a constant: the barrier keeps a batch from being one.
    flat = jax.lax.optimization_barrier(x.reshape(-1, *x.shape[-3:]))
    flat = jnp.pad(flat, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="reflect")
    return nn.avg_pool(flat, (3, 3)).reshape(x.shape)
