"""Losses of detection by peaks of heat maps (CornerNet: Law 2018; CenterNet: Zhou 2019)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from mtljax.objects.decoding import read
from mtljax.objects.targets import heat_map, places
from mtljax.tasks.losses.masked import number

CLIP = 1e-4  # of probabilities, from 0 and from 1
SIZE = 0.1  # weight of sizes on a map of 128 cells


class DetectionMaps(NamedTuple):
    """What a head says of each cell.

    Attributes:
        heat: (..., h, w, maps), logits; one map for all classes, or one for each.
        logits: (..., h, w, classes), or None where each class has its heat map.
        size: (..., h, w, 2), width and height in cells.
        offset: (..., h, w, 2), from the cell's corner to the box's centre, (x, y) in cells.
    """

    heat: jax.Array
    logits: jax.Array | None
    size: jax.Array
    offset: jax.Array


class Wanted(NamedTuple):
    """The objects of each frame.

    Attributes:
        boxes: (..., M, 4), [x0, y0, x1, y1] in cells, within the map.
        categories: (..., M) integers, from 0.
        counts: (..., M) bool, those to be found.
        ignored: (..., M) bool, those that are neither wanted nor wrong.
        listed: (...) bool, the frames whose objects are all listed; the others add nothing.
    """

    boxes: jax.Array
    categories: jax.Array
    counts: jax.Array
    ignored: jax.Array
    listed: jax.Array


def focal(q: jax.Array, target: jax.Array, negatives: jax.Array | bool = True) -> jax.Array:
    """The focal loss of heat maps, summed over cells and maps (CornerNet, 3.2, with alpha 2 and beta 4).

    -(1 - q)^2 ln q where the target is 1, -(1 - y)^4 q^2 ln(1 - q) elsewhere; q is clipped to [1e-4, 1 - 1e-4].

    Args:
        q: (..., h, w, C), probabilities.
        target: (..., h, w, C), in [0, 1], what `heat_map` gives.
        negatives: bool, broadcasts: where cells that are no peak count.

    Returns:
        (...), a sum for each frame.

    Example:
        >>> q = jnp.full((1, 2, 1), 0.5)
        >>> print(jax.jit(focal)(q, jnp.array([[[1.0], [0.0]]])).round(4))  # two times ln 2 / 4
        0.3466
    """
    q = jnp.clip(q.astype(jnp.float32), CLIP, 1 - CLIP)
    peak = (1 - q) ** 2 * jnp.log(q)
    rest = jnp.where(negatives, (1 - target) ** 4 * q**2 * jnp.log1p(-q), 0.0)
    return -jnp.sum(jnp.where(target == 1, peak, rest), axis=(-3, -2, -1))


def touched(boxes: jax.Array, valid: jax.Array, height: int, width: int) -> jax.Array:
    """The cells that any valid box (..., M, 4), [x0, y0, x1, y1] in cells, touches: (..., h, w, 1) bool."""
    low, high = jnp.floor(boxes[..., :2]), jnp.ceil(boxes[..., 2:])
    x, y = jnp.arange(width), jnp.arange(height)
    across = (x >= low[..., :1]) & (x < high[..., :1])
    down = (y >= low[..., 1:]) & (y < high[..., 1:])
    return jnp.any(valid[..., None, None] & down[..., :, None] & across[..., None, :], axis=-3)[..., None]


def detection_loss(maps: DetectionMaps, wanted: Wanted) -> tuple[jax.Array, jax.Array]:
    """The focal loss of the heat, and each object's L1 errors of offset and size and cross-entropy of its class.

    Sizes weigh 0.1 * 128 / max(h, w), so that an image's share counts the same on any map. Cells of ignored objects,
    and of those whose class the head does not have, are no negatives.

    Args:
        maps: of each frame.
        wanted: the objects of each frame.

    Returns:
        Total and count, two float32 scalars: the count is that of objects, and of listed frames without any.
    """
    height, width, number_of_maps = maps.heat.shape[-3:]
    classes = number_of_maps if maps.logits is None else maps.logits.shape[-1]
    known = (wanted.categories >= 0) & (wanted.categories < classes)
    counts = wanted.counts & known & wanted.listed[..., None]
    heat_of = jnp.zeros_like(wanted.categories) if number_of_maps == 1 else wanted.categories
    target = heat_map(wanted.boxes, counts, heat_of, height, width, number_of_maps)
    negatives = ~touched(wanted.boxes, wanted.ignored | (wanted.counts & ~known), height, width)
    heat = jnp.where(wanted.listed[..., None, None, None], maps.heat.astype(jnp.float32), 0.0)
    total = jnp.sum(jnp.where(wanted.listed, focal(jax.nn.sigmoid(heat), target, negatives), 0.0))
    at = places(wanted.boxes, height, width)

    def errors(predicted: jax.Array, truth: jax.Array) -> jax.Array:
        return l1_of(read(predicted, at.cell), truth, counts)

    weight = SIZE * 128 / max(height, width)
    total += jnp.sum(errors(maps.offset, at.offset)) + weight * jnp.sum(errors(maps.size, at.size))
    if maps.logits is not None:
        logits = jnp.where(counts[..., None], read(maps.logits, at.cell).astype(jnp.float32), 0.0)
        entropies = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(counts, wanted.categories, 0))
        total += jnp.sum(jnp.where(counts, entropies, 0.0))
    empty = wanted.listed & ~jnp.any(counts, axis=-1)
    return total, number(counts) + number(empty)


def l1_of(predicted: jax.Array, truth: jax.Array, counts: jax.Array) -> jax.Array:
    """The L1 errors of objects, (..., M, D) -> (..., M) float32; 0, without a gradient, where one does not count.

    Example:
        >>> print(jax.jit(l1_of)(jnp.array([[3.0, 1.0], [jnp.nan, 0.0]]), jnp.ones((2, 2)), jnp.array([True, False])))
        [2. 0.]
    """
    difference = jnp.where(counts[..., None], predicted.astype(jnp.float32) - truth, 0.0)
    return jnp.sum(jnp.abs(difference), axis=-1)
