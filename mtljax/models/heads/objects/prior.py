"""The heat map of where objects were a frame before, which `Track` reads (CenterTrack: Zhou 2020, section 4)."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from mtljax.models.heads.objects.shared_map import BOXES, SharedMap, parent_of
from mtljax.objects.detections import Detections, heat_of
from mtljax.objects.frames import Objects
from mtljax.objects.targets import heat_map

MOVED = 0.05  # standard deviation of a true centre's place, in sizes of its box
LEFT_OUT = 0.4  # share of true centres
FALSE = 0.1  # false centres for each true one,
AWAY = 0.5  # standard deviation of their place, in sizes of the box


def prior(
    head: Any,
    seen: SharedMap,
    detections: Detections,
    parents: Mapping[str, Any] | None,
    edges: Mapping[str, str] | None,
    key: jax.Array | None,
) -> jax.Array:
    """The heat map of the centres a frame before, (B s, h, w, 1); 0 on the first frame of a clip.

    Args:
        head: with `stride` and `found`.
        seen: what the head was given.
        detections: that it reads.
        parents: as of the head.
        edges: as of the head.
        key: of the noise on true centres; where there is one these are drawn, elsewhere detections.
    """
    word, (height, width) = (edges or {}).get(BOXES), seen.size
    if word == "none":
        return jnp.zeros((seen.x.shape[0], height, width, 1))
    if word == "attached":
        heat = parent_of(head, BOXES, parents, seen)["heat"]
        now = jnp.max(jax.nn.sigmoid(heat.astype(jnp.float32)), axis=-1, keepdims=True)
    elif key is not None and seen.objects is not None:
        now = noisy(key, seen.objects, height, width)
    else:
        now = heat_of(detections, height, width, head.stride, head.found)
    past = before(now.reshape(-1, height, width, 1), seen.frames)
    first = jnp.arange(past.shape[0]) % seen.frames == 0
    return jnp.where(first[:, None, None, None], 0.0, past)


def before(x: jax.Array, frames: int) -> jax.Array:
    """What each frame (B s, ...) of clips has before it; the first has itself.

    Example:
        >>> print(before(jnp.arange(6), 3))
        [0 0 1 3 3 4]
    """
    clips = x.reshape(-1, frames, *x.shape[1:])
    return jnp.concatenate([clips[:, :1], clips[:, :-1]], axis=1).reshape(x.shape)


def noisy(key: jax.Array, objects: Objects, height: int, width: int) -> jax.Array:
    """A heat map of the objects that count as a detector might have found them, (B, s, h, w, 1).

    Centres are moved by `MOVED` of the box's size, a share `LEFT_OUT` is not there, and for a share `FALSE` of the
    objects there is a false one near. It depends on the key alone, so that a run can be repeated.
    """
    moved, gone, false, away = jax.random.split(key, 4)
    shape, boxes = objects.counts.shape, objects.boxes
    size = boxes[..., 2:] - boxes[..., :2]

    def shifted(key: jax.Array, share: float) -> jax.Array:
        step = share * size * jax.random.normal(key, (*shape, 2))
        return boxes + jnp.concatenate([step, step], axis=-1)

    there = objects.counts & ~jax.random.bernoulli(gone, LEFT_OUT, shape)
    added = objects.counts & jax.random.bernoulli(false, FALSE, shape)
    both = jnp.concatenate([shifted(moved, MOVED), shifted(away, AWAY)], axis=-2)
    valid = jnp.concatenate([there, added], axis=-1)
    return heat_map(both, valid, jnp.zeros(valid.shape, jnp.int32), height, width)
