"""What is known of a track up to each frame: where it was, and how it moved in the image."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class History(NamedTuple):
    """The last H frames of the track of each slot, the oldest first, the slot's own last.

    Attributes:
        places: (B, s, K, H, D), relative to the slot's own place; 0 where not seen.
        motion: (B, s, K, H, 2), offsets in cells; 0 where not seen, and in the oldest frame: that came from a frame
            which is no part of the history.
        seen: (B, s, K, H) bool.
    """

    places: jax.Array
    motion: jax.Array
    seen: jax.Array


def histories(places: jax.Array, motion: jax.Array, ids: jax.Array, length: int) -> History:
    """The histories of the tracks that run through slots.

    Args:
        places: (B, s, K, D).
        motion: (B, s, K, 2).
        ids: (B, s, K) integers, the track of each slot, once a frame; 0 for none.
        length: H.

    Example:
        >>> x = jnp.array([[[1.0], [5.0]], [[7.0], [3.0]]])[None]  # two frames of two slots
        >>> found = jax.jit(histories, static_argnums=3)(x, jnp.zeros((1, 2, 2, 2)), jnp.array([[[1, 2], [2, 0]]]), 2)
        >>> print(found.places[0, 1, :, :, 0], found.seen[0, 1])
        [[-2.  0.]
         [ 0.  0.]] [[ True  True]
         [False False]]
    """
    frames = ids.shape[1]

    def ago(x: jax.Array, lag: int) -> jax.Array:
        early = [(0, 0), (min(lag, frames), 0)] + [(0, 0)] * (x.ndim - 2)
        return jnp.pad(x, early)[:, :frames]

    steps = []
    for lag in reversed(range(length)):
        same = (ids[..., :, None] == ago(ids, lag)[..., None, :]) & (ids > 0)[..., :, None]  # (B, s, K, K)
        seen = jnp.any(same, axis=-1)
        at = jnp.argmax(same, axis=-1)[..., None]
        then, moved = (jnp.take_along_axis(ago(x, lag), at, axis=-2) for x in (places, motion))
        there = seen[..., None]
        inside = there & (lag < length - 1)
        steps.append((jnp.where(there, then - places, 0.0), jnp.where(inside, moved, 0.0), seen))
    relative, moved, seen = zip(*steps, strict=True)
    return History(jnp.stack(relative, axis=-2), jnp.stack(moved, axis=-2), jnp.stack(seen, axis=-1))
