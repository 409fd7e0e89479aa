"""Masks of objects by small networks of their own (CondInst: Tian 2020, section 3), and one map of ids made of them."""

import itertools

import jax
import jax.numpy as jnp

FEATURES = 8
WIDTHS = (FEATURES + 2, 8, 8, 1)  # of an object's three 1 x 1 convolutions: features and place in, a logit out
NUMBERS = sum(a * b + b for a, b in itertools.pairwise(WIDTHS))  # 169
REACH = 16  # pixels: the unit of places
SHOWN = 0.3  # least score of an object on the map of ids


def mask_logits(features: jax.Array, numbers: jax.Array, cells: jax.Array, stride: int) -> jax.Array:
    """The masks of objects, at the size of the image.

    Args:
        features: (..., h, w, 8).
        numbers: (..., M, 169), each object's weights and biases: of each layer the weights by input, then the biases.
        cells: (..., M, 2), (x, y) of each object's centre, in cells.
        stride: S, pixels of a cell's side. Places are (cell - centre) / (16 / S).

    Returns:
        (..., M, S h, S w) float32 logits, by bilinear interpolation.
    """
    height, width = features.shape[-3:-1]
    x, y = jnp.meshgrid(jnp.arange(width), jnp.arange(height))
    grid = jnp.stack([x, y], axis=-1)  # (h, w, 2)
    place = (grid - cells[..., None, None, :]) * (stride / REACH)  # (..., M, h, w, 2)
    shared = jnp.broadcast_to(features[..., None, :, :, :], (*place.shape[:-1], FEATURES))
    values, begin = jnp.concatenate([shared, place], axis=-1).astype(jnp.float32), 0
    for step, (wide, out) in enumerate(itertools.pairwise(WIDTHS)):
        weights = numbers[..., begin : begin + wide * out].reshape(*numbers.shape[:-1], wide, out)
        biases = numbers[..., begin + wide * out : begin + (wide + 1) * out]
        values = jnp.einsum("...hwi,...io->...hwo", values, weights) + biases[..., None, None, :]
        values = values if step == len(WIDTHS) - 2 else jax.nn.relu(values)
        begin += (wide + 1) * out
    size = (*values.shape[:-3], stride * height, stride * width)
    return jax.image.resize(values[..., 0], size, "bilinear")


def id_map(masks: jax.Array, scores: jax.Array, shown: float = SHOWN) -> jax.Array:
    """One map of who is where: by falling score, each object takes the pixels that are still free.

    An object is left out where its free pixels are under half of its mask, or it has none. Of equal scores the first
    comes first.

    Args:
        masks: (..., K, H, W) bool.
        scores: (..., K).
        shown: least score.

    Returns:
        (..., H, W) int32: the slot, from 1 on; 0 where there is none.

    Example:
        >>> masks = jnp.array([[[True, True, False]], [[False, True, True]], [[False, True, False]]])
        >>> print(jax.jit(id_map)(masks, jnp.array([0.9, 0.8, 0.7])))
        [[1 1 2]]
    """
    order = jnp.argsort(-jnp.nan_to_num(scores, nan=-1.0), axis=-1, stable=True)
    by_score = jnp.take_along_axis(masks, order[..., None, None], axis=-3)
    counts = jnp.take_along_axis(scores >= shown, order, axis=-1)

    def one(ids: jax.Array, now: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        mask, there, slot = now
        free = mask & (ids == 0)
        pixels, left = (jnp.sum(x, axis=(-2, -1)) for x in (mask, free))
        stays = there & (left > 0) & (2 * left >= pixels)
        return jnp.where(free & stays[..., None, None], slot[..., None, None] + 1, ids), None

    steps = jnp.moveaxis(by_score, -3, 0), jnp.moveaxis(counts, -1, 0), jnp.moveaxis(order, -1, 0)
    empty = jnp.zeros((*masks.shape[:-3], *masks.shape[-2:]), jnp.int32)
    return jax.lax.scan(one, empty, steps)[0]
