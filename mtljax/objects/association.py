"""Who is who from frame to frame: each detection takes the nearest track, the surest first (Zhou 2020, section 4)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

FOUND = 0.3  # a detection of a lower score is none
BORN = 0.4  # above it a detection that takes no track begins one
UNSEEN = 3  # frames for which a track may be unseen and still be taken


class _Seen(NamedTuple):
    """The detections of the last frames, (age, K): each track is where it was last seen; id 0 is none, or was taken."""

    ids: jax.Array
    centre: jax.Array
    area: jax.Array


def associate(
    boxes: jax.Array,
    scores: jax.Array,
    offsets: jax.Array,
    found: float = FOUND,
    born: float = BORN,
    unseen: int = UNSEEN,
) -> jax.Array:
    """The ids of a clip's detections.

    Frame by frame, by falling score, a detection takes the id of the free track that is nearest to its centre + offset,
    of those at most as far, squared, as its own box and the track's last one have area. Where there is none it begins a
    track, if its score allows. Of equal scores the first slot comes first; of equally near tracks the one seen last.

    Args:
        boxes: (s, K, 4), [x0, y0, x1, y1] in pixels.
        scores: (s, K); what is not at least `found` gets no id, a NaN neither.
        offsets: (s, K, 2), (x, y) in pixels, from the centre to where the object was a frame before.
        found: least score of a detection.
        born: a new track has a higher score.
        unseen: a track ends when it is unseen for more frames.

    Returns:
        (s, K) int32: from 1 on, by birth; 0 for none.

    Example:
        >>> boxes = jnp.array([[[0.0, 0.0, 4.0, 4.0]], [[2.0, 0.0, 6.0, 4.0]], [[20.0, 0.0, 24.0, 4.0]]])
        >>> print(jax.jit(associate)(boxes, jnp.full((3, 1), 0.9), jnp.zeros((3, 1, 2))).ravel())
        [1 1 2]
    """
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    area = jnp.prod(boxes[..., 2:] - boxes[..., :2], axis=-1)
    slots = scores.shape[1]
    past = _Seen(jnp.zeros((unseen + 1, slots), jnp.int32), jnp.zeros((unseen + 1, slots, 2), centre.dtype),
                 jnp.zeros((unseen + 1, slots), area.dtype))  # fmt: skip

    def frame(carry: tuple[_Seen, jax.Array], now: tuple[jax.Array, ...]) -> tuple[tuple[_Seen, jax.Array], jax.Array]:
        seen, last = carry
        middle, size, score, before = now
        ids, left, last = _frame(seen, last, size, score, before, found, born)
        new = _Seen(ids, middle, size)
        seen = jax.tree.map(lambda one, old: jnp.concatenate([one[None], old[:-1]]), new, seen._replace(ids=left))
        return (seen, last), ids

    _, ids = jax.lax.scan(frame, (past, jnp.int32(0)), (centre, area, scores, centre + offsets))
    return ids


def _frame(
    seen: _Seen,
    last: jax.Array,
    area: jax.Array,
    scores: jax.Array,
    before: jax.Array,
    found: float,
    born: float,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The ids (K,) of one frame, those of `seen` that are still free, and the last id given.

    Args:
        seen: the frames before.
        last: the last id given.
        area: (K,).
        scores: (K,).
        before: (K, 2), where the centres were a frame before.
        found: see `associate`.
        born: see `associate`.
    """
    order = jnp.argsort(-jnp.nan_to_num(scores, nan=-1.0), stable=True)
    tracks, where, size = (x.reshape(-1, *x.shape[2:]) for x in seen)
    square = jnp.sum((before[:, None] - where) ** 2, axis=-1)  # (K, tracks)
    near = square <= jnp.minimum(area[:, None], size)

    def one(step: jax.Array, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        ids, free, last = carry
        slot = order[step]
        distance = jnp.where(near[slot] & (free > 0), square[slot], jnp.inf)
        track = jnp.argmin(distance)
        there, counts = distance[track] < jnp.inf, scores[slot] >= found
        birth = counts & ~there & (scores[slot] > born)
        last = last + birth
        own = jnp.where(there, free[track], jnp.where(birth, last, 0))
        free = free.at[track].set(jnp.where(counts & there, 0, free[track]))
        return ids.at[slot].set(jnp.where(counts, own, 0)), free, last

    start = jnp.zeros(scores.shape, jnp.int32), tracks, last
    ids, free, last = jax.lax.fori_loop(0, scores.shape[0], one, start)
    return ids, free.reshape(seen.ids.shape), last
