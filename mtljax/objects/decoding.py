"""From maps to a fixed number of slots: the best peaks of a heat map, and what other maps hold there (Zhou 2019)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Slots(NamedTuple):
    """What was found in each frame, best first.

    Attributes:
        score: (..., K) float32, the heat at the peak; 0 where fewer than K peaks were found, NaN in a frame whose heat
            is no number somewhere.
        category: (..., K) int32, the heat map of the peak, from 0.
        cell: (..., K, 2) int32, (x, y).
        box: (..., K, 4) float32, [x0, y0, x1, y1] in pixels, clipped to the image.
    """

    score: jax.Array
    category: jax.Array
    cell: jax.Array
    box: jax.Array


def read(maps: jax.Array, cells: jax.Array) -> jax.Array:
    """What maps (..., h, w, D) hold in cells (..., K, 2), (x, y): (..., K, D).

    Example:
        >>> print(jax.jit(read)(jnp.arange(6).reshape(2, 3, 1), jnp.array([[2, 0], [0, 1]])).ravel())
        [2 3]
    """
    height, width, depth = maps.shape[-3:]
    flat = maps.reshape(*maps.shape[:-3], height * width, depth)
    index = cells[..., 1] * width + cells[..., 0]
    return jnp.take_along_axis(flat, index[..., None], axis=-2)


def peaks(heat: jax.Array, slots: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The highest cells that are the greatest of the 3 x 3 about them, each map for itself.

    Args:
        heat: (..., h, w, C), of probabilities, none negative.
        slots: K, at most h w C.

    Returns:
        Scores (..., K), falling, maps (..., K) int32 and cells (..., K, 2) int32, (x, y). Equal ones come by row,
        column and map. Where fewer than K are found the score is 0, and the cell one of those left; a frame in which
        any heat is not finite has NaN for all scores.

    Example:
        >>> score, _, cell = jax.jit(peaks, static_argnums=1)(jnp.array([[0.1, 0.2, 0.9, 0.8]])[..., None], 2)
        >>> print(score, cell[0])
        [0.9 0. ] [2 0]
    """
    height, width, maps = heat.shape[-3:]
    best = jnp.where(heat == _greatest_around(heat), heat, 0.0).reshape(*heat.shape[:-3], height * width * maps)
    score, index = jax.lax.top_k(best, slots)
    finite = jnp.all(jnp.isfinite(heat), axis=(-3, -2, -1))[..., None]
    index = jnp.where(finite, index, 0).astype(jnp.int32)
    cell, category = _divided(index, maps)
    return jnp.where(finite, score, jnp.nan), category, jnp.stack(_divided(cell, width)[::-1], axis=-1)


def decode(heat: jax.Array, size: jax.Array, offset: jax.Array, slots: int, stride: int) -> Slots:
    """The boxes at the peaks of heat maps: stride (cell + offset -+ size / 2), clipped to the image.

    Args:
        heat: (..., h, w, C), probabilities.
        size: (..., h, w, 2), width and height in cells; below 0 it is 0.
        offset: (..., h, w, 2), from the cell's corner to the centre, (x, y) in cells.
        slots: K, at most h w C.
        stride: pixels of a cell's side; the image is stride h x stride w.

    Returns:
        The slots.
    """
    height, width = heat.shape[-3:-1]
    score, category, cell = peaks(heat, slots)
    centre, half = cell + read(offset, cell), jnp.maximum(read(size, cell), 0.0) / 2  # no box is turned inside out
    corners = stride * jnp.concatenate([centre - half, centre + half], axis=-1)
    limit = stride * jnp.array([width, height, width, height], jnp.float32)
    return Slots(score, category, cell, jnp.clip(corners, 0, limit))


def _divided(number: jax.Array, by: int) -> tuple[jax.Array, jax.Array]:
    """Quotient and remainder of numbers that are not negative; by plain operations, which ONNX has too."""
    quotient = jax.lax.div(number, jnp.full_like(number, by))
    return quotient, number - by * quotient


def _greatest_around(heat: jax.Array) -> jax.Array:
    """The greatest of the 3 x 3 cells about each of (..., h, w, C), within the map: along one axis, then the other."""
    for axis in (-3, -2):
        size = heat.shape[axis]
        before = jax.lax.slice_in_dim(heat, 0, size - 1, axis=axis)
        after = jax.lax.slice_in_dim(heat, 1, size, axis=axis)
        edge = jnp.full_like(jax.lax.slice_in_dim(heat, 0, 1, axis=axis), -jnp.inf)
        lower = jnp.concatenate([edge, before], axis=axis)
        upper = jnp.concatenate([after, edge], axis=axis)
        heat = jnp.maximum(heat, jnp.maximum(lower, upper))
    return heat
