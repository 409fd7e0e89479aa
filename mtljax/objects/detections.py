"""Detections: what is read from the maps of `detect`, or told by labels, in a fixed number of slots for each frame."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mtljax.objects.association import BORN, FOUND, UNSEEN, associate
from mtljax.objects.decoding import decode
from mtljax.objects.frames import Objects
from mtljax.objects.targets import heat_map, places


class Detections(NamedTuple):
    """K slots of each frame.

    Attributes:
        cell: (..., K, 2) int32, (x, y) of the cell in which the centre lies.
        box: (..., K, 4) float32, [x0, y0, x1, y1] in pixels, clipped to the image.
        score: (..., K) float32, best first; 0 for a slot without an object, NaN in a frame whose heat is no number.
        classes: (..., K, C) float32, a probability for each class.
    """

    cell: jax.Array
    box: jax.Array
    score: jax.Array
    classes: jax.Array


def detected(
    heat: jax.Array, logits: jax.Array | None, size: jax.Array, offset: jax.Array, slots: int, stride: int
) -> Detections:
    """The best peaks of heat maps, with boxes and classes.

    Args:
        heat: (..., h, w, maps) logits; one map for all classes, or one for each.
        logits: (..., h, w, C) of classes; None where each class has its heat map: a peak is of that class alone.
        size: (..., h, w, 2), width and height in cells.
        offset: (..., h, w, 2), from the cell's corner to the centre, in cells.
        slots: K; where there are fewer cells, as many as those.
        stride: pixels of a cell's side.
    """
    heat = jax.nn.sigmoid(heat.astype(jnp.float32))
    height, width, maps = heat.shape[-3:]
    found = decode(heat, size, offset, min(slots, height * width * maps), stride)
    if logits is None:
        classes = jax.nn.one_hot(found.category, maps)
    else:
        flat = logits.reshape(*logits.shape[:-3], height * width, logits.shape[-1])
        index = (found.cell[..., 1] * width + found.cell[..., 0])[..., None]
        classes = jax.nn.softmax(jnp.take_along_axis(flat, index, axis=-2).astype(jnp.float32), axis=-1)
    return Detections(found.cell, found.box, found.score, classes)


def told(objects: Objects, height: int, width: int, classes: int, stride: int) -> Detections:
    """The objects that count as detections of score 1, in a map of h x w cells; the others have score 0."""
    at = places(objects.boxes, height, width)
    score = objects.counts.astype(jnp.float32)
    return Detections(at.cell, stride * objects.boxes, score, jax.nn.one_hot(objects.category, classes))


def centres(found: Detections, stride: int) -> jax.Array:
    """The boxes' centres in cells, (..., K, 2)."""
    return (found.box[..., :2] + found.box[..., 2:]) / (2 * stride)


def heat_of(found: Detections, height: int, width: int, stride: int, least: float = FOUND) -> jax.Array:
    """One heat map of the detections of at least that score, with `targets.heat_map`'s bells: (..., h, w, 1)."""
    none = jnp.zeros_like(found.cell[..., 0])
    return heat_map(found.box / stride, found.score >= least, none, height, width)


def tracked(
    found: Detections, offsets: jax.Array, stride: int, least: float = FOUND, born: float = BORN, unseen: int = UNSEEN
) -> jax.Array:
    """Who is who in clips, by `associate`.

    Args:
        found: (B, s, K, ...).
        offsets: (B, s, K, 2), from a centre to where the object was a frame before, in cells.
        stride: pixels of a cell's side.
        least: score of a detection.
        born: a new track has a higher score.
        unseen: a track ends when it is unseen for more frames.

    Returns:
        (B, s, K) int32, ids from 1 on; 0 for none.
    """

    def clip(boxes: jax.Array, scores: jax.Array, offset: jax.Array) -> jax.Array:
        return associate(boxes, scores, offset, least, born, unseen)

    return jax.vmap(clip)(found.box, found.score, stride * offsets)
