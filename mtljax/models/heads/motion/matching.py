"""What two feature maps tell of the motion between them, without parameters: correlation, and least squares."""

import flax.linen as nn
import jax
import jax.numpy as jnp

_FARTHEST = 4.0  # cells: where a window has no texture, least squares are of no account


def correlation(first: jax.Array, second: jax.Array, radius: int) -> jax.Array:
    """Cosines of every cell's features with those around it in another map (the cost volume of FlowNetC).

    Dosovitskiy et al., FlowNet, ICCV 2015, equation 1, on vectors of unit length, with patches of one cell.

    Args:
        first: (B, h, w, C).
        second: (B, h, w, C).
        radius: of the window, in cells.

    Returns:
        (B, h, w, (2 radius + 1)^2) float32, row by row of the window; 0 beyond the second map's edges.

    Example:
        >>> import jax.numpy as jnp
        >>> first, second = jnp.eye(3)[None, None], jnp.roll(jnp.eye(3), 1, axis=0)[None, None]
        >>> print(correlation(first, second, radius=1)[0, 0, 0].round(3))  # the first cell is now at its right
        [0. 0. 0. 0. 0. 1. 0. 0. 0.]
    """
    height, width = first.shape[1:3]
    first, second = _unit(first), _unit(second)
    padded = jnp.pad(second, ((0, 0), (radius, radius), (radius, radius), (0, 0)))
    side = range(2 * radius + 1)
    products = [jnp.sum(first * padded[:, y : y + height, x : x + width], axis=-1) for y in side for x in side]
    return jnp.stack(products, axis=-1)


def best_match(volume: jax.Array, sharpness: jax.Array) -> jax.Array:
    """The mean shift (x, y) under a softmax of a cost volume, in cells: (B, h, w, (2 r + 1)^2) -> (B, h, w, 2).

    Example:
        >>> import jax.numpy as jnp
        >>> volume = jnp.array([0.0, 0, 0, 0, 0, 1, 0, 0, 0]).reshape(1, 1, 1, 9)
        >>> print(best_match(volume, jnp.array(50.0))[0, 0, 0].round(3))
        [1. 0.]
    """
    side = round(volume.shape[-1] ** 0.5)
    reach = jnp.arange(side) - side // 2.0
    shifts = jnp.stack(jnp.meshgrid(reach, reach), axis=-1).reshape(-1, 2)
    weights = jax.nn.softmax(sharpness * volume, axis=-1)
    # Written out: a product of matrices would go through units of low precision on accelerators.
    return jnp.sum(weights[..., None] * shifts, axis=-2)


def least_squares_shift(first: jax.Array, second: jax.Array, window: int, damping: jax.Array) -> jax.Array:
    """The shift under which two maps differ least in a window, to first order (Lucas and Kanade 1981).

    Args:
        first: (B, h, w, C).
        second: (B, h, w, C).
        window: its side, in cells.
        damping: added to the diagonal of the system, relative to gradients of features.

    Returns:
        (B, h, w, 2) float32 cells (x, y), at most 4.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> x, y = jnp.meshgrid(jnp.arange(8.0), jnp.arange(8.0))
        >>> def seen(x, y):
        ...     return jnp.stack([jnp.sin(x / 3), jnp.sin(y / 3)], axis=-1)[None]
        >>> shift = jax.jit(least_squares_shift, static_argnums=2)(seen(x, y), seen(x - 0.5, y), 3, jnp.array(1e-6))
        >>> print(shift[0, 4, 4].round(1) + 0.0)
        [0.5 0. ]
    """
    first, second = first.astype(jnp.float32), second.astype(jnp.float32)
    gx, gy = gradients((first + second) / 2)
    change = second - first
    products = [jnp.mean(a * b, axis=-1) for a, b in ((gx, gx), (gx, gy), (gy, gy), (gx, change), (gy, change))]
    pooled = nn.avg_pool(jnp.stack(products, axis=-1), (window, window), (1, 1), "SAME", count_include_pad=False)
    xx, xy, yy, xt, yt = jnp.moveaxis(pooled, -1, 0)
    xx, yy = xx + damping, yy + damping
    shift = jnp.stack([xy * yt - yy * xt, xy * xt - xx * yt], axis=-1) / (xx * yy - xy * xy)[..., None]
    return jnp.clip(shift, -_FARTHEST, _FARTHEST)


def gradients(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Central differences of a map, to the right and down, half as large at its borders: (B, h, w, C) each.

    Example:
        >>> across, down = gradients(jnp.array([[0.0, 2.0, 4.0]]).reshape(1, 1, 3, 1))
        >>> print(across[0, 0, :, 0], down.any())
        [1. 2. 1.] False
    """
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    return (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2, (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2


def _unit(x: jax.Array) -> jax.Array:
    x = x.astype(jnp.float32)
    return x * jax.lax.rsqrt(jnp.sum(x**2, axis=-1, keepdims=True) + 1e-6)
