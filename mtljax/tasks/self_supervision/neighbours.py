"""The frames of a clip beside their neighbours in time, both ways at once.

What is of pairs has axes (B, 2, s - 1, ...): [:, 0, i] is of frame i, whose neighbour is frame i + 1; [:, 1, i] is of
frame i + 1, whose neighbour is frame i. So `x[:, ::-1]` is each pair seen from its other end.
"""

import jax
import jax.numpy as jnp

from mtljax import geometry


def here(clip: jax.Array) -> jax.Array:
    """(B, s, ...) of frames -> (B, 2, s - 1, ...) of each pair's frame."""
    return jnp.stack([clip[:, :-1], clip[:, 1:]], axis=1)


def there(clip: jax.Array) -> jax.Array:
    """(B, s, ...) of frames -> (B, 2, s - 1, ...) of each pair's neighbour."""
    return jnp.stack([clip[:, 1:], clip[:, :-1]], axis=1)


def motions(ego_motion: jax.Array) -> jax.Array:
    """Motions (B, s, 6), x_t = R x_{t+1} + t -> (B, 2, s - 1, 4, 4), from a frame's points to its neighbour's."""
    back = geometry.matrix_of(ego_motion[:, :-1])
    return jnp.stack([geometry.inverse(back), back], axis=1)


def by_frame(pairs: jax.Array, otherwise: float) -> jax.Array:
    """(B, 1 or 2, s - 1, ...) of pairs -> (B, the same, s, ...) of frames, a value where there is no neighbour."""
    ways = []
    for way in range(pairs.shape[1]):
        padding = [(0, 0)] * (pairs.ndim - 1)
        padding[1] = (0, 1) if way == 0 else (1, 0)
        ways.append(jnp.pad(pairs[:, way], padding, constant_values=otherwise))
    return jnp.stack(ways, axis=1)


def frame_means(values: jax.Array, known: jax.Array) -> jax.Array:
    """Values of pairs (B, 1 or 2, s - 1) -> the mean over each frame's neighbours that are known, else 0: (B, s)."""
    known = by_frame(known.astype(jnp.float32), 0.0)
    total = jnp.sum(jnp.where(known > 0, by_frame(values, 0.0), 0.0), axis=1)
    return total / jnp.maximum(jnp.sum(known, axis=1), 1.0)
