"""What a heat map of objects should be: a peak in the cell of each box's centre (Law and Deng 2018; Zhou 2019)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

OVERLAP = 0.7  # a box whose corners are moved by less than the radius still has this IoU with its object


class Places(NamedTuple):
    """Where boxes lie on a map of cells.

    Attributes:
        cell: (..., M, 2) int32, (x, y) of the cell of each box's centre; within the map.
        offset: (..., M, 2), from the cell's corner to the centre, in cells.
        size: (..., M, 2), width and height in cells.
    """

    cell: jax.Array
    offset: jax.Array
    size: jax.Array


def places(boxes: jax.Array, height: int, width: int) -> Places:
    """The cells, offsets and sizes of boxes (..., M, 4), [x0, y0, x1, y1] in cells, on a map of h x w.

    Example:
        >>> found = jax.jit(places, static_argnums=(1, 2))(jnp.array([[0.0, 1.0, 5.0, 2.0]]), 4, 4)
        >>> print(found.cell[0], found.offset[0], found.size[0])
        [2 1] [0.5 0.5] [5. 1.]
    """
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    # A box of padding may be anything: what is no number, or beyond the map, is put within.
    last = jnp.array([width - 1, height - 1])
    cell = jnp.clip(jnp.nan_to_num(jnp.floor(centre)), 0, last).astype(jnp.int32)
    return Places(cell, centre - cell, boxes[..., 2:] - boxes[..., :2])


def exact_radius(size: jax.Array, overlap: float = OVERLAP) -> jax.Array:
    """How far two opposite corners of a box may move along both axes: the least of three cases (CornerNet, 3.2).

    The box is moved, shrunk at both corners, or grown at both; in each case the IoU with the box is still `overlap`.
    (The first code of CornerNet takes other roots of the same equations.)

    Args:
        size: (..., 2), width and height.
        overlap: IoU in (0, 1).

    Returns:
        (...), in the unit of the sizes; 0 for an empty box.

    Example:
        >>> print(f"{jax.jit(exact_radius)(jnp.array([5.0, 5.0])):.3f}")
        0.408
    """
    width, height = size[..., 0], size[..., 1]
    around, area, rest = width + height, width * height, 1 - overlap
    # The discriminants are differences of squares, at least (w - h)^2: rounding may make them less than 0.
    moved = around - _root(around**2 - 4 * area * rest / (1 + overlap))
    shrunk = around - _root(around**2 - 4 * rest * area)
    grown = _root((overlap * around) ** 2 + 4 * overlap * rest * area) - overlap * around
    return jnp.minimum(jnp.minimum(moved / 2, shrunk / 4), grown / (4 * overlap))


def heat_map(
    boxes: jax.Array, valid: jax.Array, categories: jax.Array, height: int, width: int, maps: int = 1
) -> jax.Array:
    """The heat maps of a frame's objects: 1 in the cell of each centre, a bell about it, the greatest where they meet.

    The bell is exp(-(dx^2 + dy^2) / 2 sigma^2) for |dx|, |dy| <= r, sigma = (2 r + 1) / 6; r is the whole part of
    `exact_radius` of the sizes, rounded up to cells, and at least 1.

    Args:
        boxes: (..., M, 4), [x0, y0, x1, y1] in cells, within the map.
        valid: (..., M) bool, those that are drawn.
        categories: (..., M) integers, the map of each object, from 0; all 0 where there is one map.
        height: of the map, in cells.
        width: of the map, in cells.
        maps: how many, C.

    Returns:
        (..., h, w, C) float32.

    Example:
        >>> boxes = jnp.array([[1.0, 0.0, 2.0, 1.0], [0.0, 0.0, 9.0, 9.0]])
        >>> draw = jax.jit(heat_map, static_argnums=(3, 4))
        >>> bells = draw(boxes, jnp.array([True, False]), jnp.zeros(2, int), 2, 3)[..., 0]
        >>> print((100 * bells).astype(int))
        [[ 13 100  13]
         [  1  13   1]]
    """
    at = places(boxes, height, width)
    radius = jnp.maximum(1.0, jnp.floor(exact_radius(jnp.ceil(at.size))))[..., None, None]
    sigma = (2 * radius + 1) / 6
    dx = jnp.arange(width) - at.cell[..., 0, None, None]
    dy = jnp.arange(height)[:, None] - at.cell[..., 1, None, None]
    bell = jnp.exp(-(dx**2 + dy**2) / (2 * sigma**2))
    near = (jnp.abs(dx) <= radius) & (jnp.abs(dy) <= radius) & valid[..., None, None]
    bells = jnp.where(near, bell, 0.0).astype(jnp.float32)  # (..., M, h, w)
    own = categories[..., None, None, None] == jnp.arange(maps)  # (..., M, 1, 1, C)
    return jnp.max(jnp.where(own, bells[..., None], 0.0), axis=-4)


def _root(square: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.maximum(square, 0.0))
