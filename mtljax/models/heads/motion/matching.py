"""What two feature maps tell of the motion between them, without parameters: correlation, and least squares."""

from collections.abc import Sequence

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
    blocks, windows = _blocks(_unit(first), radius), _windows(_unit(second), first.shape[1:3], radius)
    # Of every block with all of its window, as one product of matrices: written out as a sum for each of the shifts, it
    # takes XLA minutes to compile the gradient, and longer to compute it.
    products = jnp.einsum("bimjnc,bipjqc->bijmpnq", blocks, windows, precision=jax.lax.Precision.HIGHEST)
    across = jnp.einsum("bijmpnu->bijnump", _diagonals(products, radius))
    volume = jnp.einsum("bijnumv->bimjnvu", _diagonals(across, radius))
    _, i, m, j, n = volume.shape[:5]
    volume = volume.reshape(len(first), i * m, j * n, (2 * radius + 1) ** 2)
    return volume[:, : first.shape[1], : first.shape[2]]


def _blocks(x: jax.Array, radius: int) -> jax.Array:
    """A map cut into squares of twice the radius, 0 beyond its edges: (B, h, w, C) -> (B, i, side, j, side, C)."""
    side = max(1, 2 * radius)
    edges = [(0, -n % side) for n in x.shape[1:3]]
    x = jnp.pad(x, [(0, 0), *edges, (0, 0)])
    return x.reshape(len(x), x.shape[1] // side, side, x.shape[2] // side, side, x.shape[3])


def _windows(x: jax.Array, size: Sequence[int], radius: int) -> jax.Array:
    """What is within the radius of each block: a block starts the radius before, and the next one belongs to it too.

    Of a map of this size: (B, i, 2 side, j, 2 side, C).
    """
    side = max(1, 2 * radius)
    edges = [(radius, side + -n % side - radius) for n in size]
    x = _blocks(jnp.pad(x, [(0, 0), *edges, (0, 0)]), radius)
    x = jnp.concatenate([x[:, :-1], x[:, 1:]], axis=2)
    return jnp.concatenate([x[:, :, :, :-1], x[:, :, :, 1:]], axis=4)


def _diagonals(x: jax.Array, radius: int) -> jax.Array:
    """The shifts within the radius: (..., side, 2 side) -> (..., side, 2 radius + 1), where [n, u] is of [n, n + u]."""
    side, width = x.shape[-2:]
    flat = jnp.pad(x.reshape(*x.shape[:-2], side * width), [(0, 0)] * (x.ndim - 2) + [(0, side)])
    return flat.reshape(*x.shape[:-2], side, width + 1)[..., : 2 * radius + 1]


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


def least_squares_shifts(
    first: jax.Array, second: jax.Array, windows: Sequence[int], damping: jax.Array
) -> list[jax.Array]:
    """The shifts under which two maps differ least in windows, to first order (Lucas and Kanade 1981).

    All windows together, since one by one each has a gradient of its own to compile.

    Args:
        first: (B, h, w, C).
        second: (B, h, w, C).
        windows: their sides, in cells.
        damping: added to the diagonal of the system, relative to gradients of features.

    Returns:
        Of each window (B, h, w, 2) float32 cells (x, y), at most 4.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> x, y = jnp.meshgrid(jnp.arange(8.0), jnp.arange(8.0))
        >>> def seen(x, y):
        ...     return jnp.stack([jnp.sin(x / 3), jnp.sin(y / 3)], axis=-1)[None]
        >>> found = jax.jit(least_squares_shifts, static_argnums=2)(seen(x, y), seen(x - 0.5, y), (3,), jnp.array(1e-6))
        >>> print(found[0][0, 4, 4].round(1) + 0.0)
        [0.5 0. ]
    """
    first, second = first.astype(jnp.float32), second.astype(jnp.float32)
    gx, gy = gradients((first + second) / 2)
    change = second - first
    products = [jnp.mean(a * b, axis=-1) for a, b in ((gx, gx), (gx, gy), (gy, gy), (gx, change), (gy, change))]
    seen = jnp.stack(products, axis=-1)
    pooled = [nn.avg_pool(seen, (side, side), (1, 1), "SAME", count_include_pad=False) for side in windows]
    xx, xy, yy, xt, yt = jnp.moveaxis(jnp.stack(pooled), -1, 0)
    xx, yy = xx + damping, yy + damping
    shift = jnp.stack([xy * yt - yy * xt, xy * xt - xx * yt], axis=-1) / (xx * yy - xy * xy)[..., None]
    return list(jnp.clip(shift, -_FARTHEST, _FARTHEST))


def gradients(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Central differences of a map, to the right and down, half as large at its borders: (B, h, w, C) each.

    Example:
        >>> across, down = gradients(jnp.array([[0.0, 2.0, 4.0]]).reshape(1, 1, 3, 1))
        >>> print(across[0, 0, :, 0], down.any())
        [1. 2. 1.] False
    """
    return _central(x, 2), _central(x, 1)


def _central(x: jax.Array, axis: int) -> jax.Array:
    """Central differences along an axis, at whose ends the outermost values go on: means of the steps on both sides."""
    steps = jnp.diff(x, axis=axis)
    before, after = ([pads if a == axis else (0, 0) for a in range(x.ndim)] for pads in ((1, 0), (0, 1)))
    return (jnp.pad(steps, before) + jnp.pad(steps, after)) / 2


def _unit(x: jax.Array) -> jax.Array:
    x = x.astype(jnp.float32)
    return x * jax.lax.rsqrt(jnp.sum(x**2, axis=-1, keepdims=True) + 1e-6)
