"""The objects of a batch frame by frame: which are to be found, which do not matter, and where they are."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mtljax.errors import UserError

PIXELS = 12  # fewer of an object show too little of it


class Objects(NamedTuple):
    """The M objects of each of the s frames of B clips.

    Attributes:
        boxes: (B, s, M, 4) float32, [x0, y0, x1, y1] in cells, within the map.
        category: (B, s, M) int32, from 0.
        counts: (B, s, M) bool, those to be found: valid, not ignored, seen in enough pixels, in a labelled frame.
        ignored: (B, s, M) bool, neither wanted nor wrong: told so, or seen in fewer pixels, but in some.
        labelled: (B, s) bool, frames whose objects are all listed.
        pixels: (B, s, M) int32, those in which an object is seen.
        positions: (B, s, M, 3) float32, centres in the world, metres; None where the batch has none.
        quaternions: (B, s, M, 4) float32, object to world; likewise.
        half_sizes: (B, s, M, 3) float32, metres along the object's axes; likewise.
    """

    boxes: jax.Array
    category: jax.Array
    counts: jax.Array
    ignored: jax.Array
    labelled: jax.Array
    pixels: jax.Array
    positions: jax.Array | None = None
    quaternions: jax.Array | None = None
    half_sizes: jax.Array | None = None


def in_frames(batch: Mapping[str, Any], stride: int, least: int = PIXELS) -> Objects:
    """The objects of a batch, frame by frame.

    An object's pixels are counted in the map of objects, `segmentations`; in clips without one they are those that
    `visibility` tells or, for want of that too, those of its box. Where frames do not tell whether their objects are
    listed (`objects_valid`) they are.

    Args:
        batch: `image` (B, s, H, W, C), `instances` and `instances_valid`, as `mtljax.data.dataset` says; it may have
            `objects_valid` and `segmentations`.
        stride: pixels of a cell's side.
        least: pixels in which an object that counts is seen.

    Returns:
        The objects.

    Raises:
        UserError: for a batch without objects.

    Example:
        >>> boxes = jnp.array([[0.0, 0.5, 0.5, 1.0], [0.0, 0.0, 0.25, 0.25]]).reshape(1, 2, 1, 4)
        >>> instances = {"bboxes": boxes, "category": jnp.array([[1, 2]]), "visibility": jnp.array([[[16], [4]]])}
        >>> batch = {"image": jnp.zeros((1, 1, 8, 8, 3)), "instances": instances, "instances_valid": jnp.ones((1, 2))}
        >>> found = in_frames(batch, stride=4)
        >>> print(found.boxes[0, 0, 0], found.category[0, 0], found.counts[0, 0], found.ignored[0, 0])
        [1. 0. 2. 1.] [0 1] [ True False] [False  True]
    """
    if "instances" not in batch:
        raise UserError(f"no objects beside {', '.join(batch)}; expected 'instances', as data sets list them.")
    instances = batch["instances"]
    height, width = batch["image"].shape[-3:-1]
    frames = instances["bboxes"].shape[2]
    shares = by_frame(instances["bboxes"]).astype(jnp.float32)[..., jnp.array([1, 0, 3, 2])]
    boxes = jnp.clip(shares, 0.0, 1.0) * jnp.array([width, height, width, height], jnp.float32) / stride
    valid = jnp.asarray(batch["instances_valid"], bool)[:, None]
    labelled = jnp.asarray(batch.get("objects_valid", jnp.ones((len(boxes), frames))), bool)
    told = by_frame(instances["ignored"]) if "ignored" in instances else jnp.zeros((), bool)
    pixels = _pixels(batch, boxes, stride)
    there = valid & (pixels > 0) & labelled[..., None]
    counts = there & ~told & (pixels >= least)
    category = jnp.broadcast_to(instances["category"].astype(jnp.int32)[:, None] - 1, counts.shape)
    sizes = instances.get("scale")
    return Objects(
        boxes, category, counts, there & ~counts, labelled, pixels,
        *(by_frame(instances[key]) if key in instances else None for key in ("positions", "quaternions")),
        half_sizes=None if sizes is None else jnp.broadcast_to(sizes[:, None], (*counts.shape, 3)),
    )  # fmt: skip


def by_frame(x: jax.Array) -> jax.Array:
    """What objects have in each frame, (B, M, s, ...) -> (B, s, M, ...)."""
    return jnp.swapaxes(jnp.asarray(x), 1, 2)


def masks_of(batch: Mapping[str, Any]) -> jax.Array:
    """The masks of a batch's M objects, of its map of objects: (B, s, M, H, W) bool.

    Example:
        >>> batch = {"segmentations": jnp.array([0, 2]).reshape(1, 1, 1, 2, 1), "instances_valid": jnp.ones((1, 3))}
        >>> print(masks_of(batch)[0, 0, :, 0])
        [[False False]
         [False  True]
         [False False]]
    """
    ids = 1 + jnp.arange(batch["instances_valid"].shape[1])
    return batch["segmentations"][:, :, None, ..., 0] == ids[:, None, None]


def _pixels(batch: Mapping[str, Any], boxes: jax.Array, stride: int) -> jax.Array:
    """In how many pixels objects are seen, (B, s, M) int32."""
    if "visibility" in batch["instances"]:
        told = by_frame(batch["instances"]["visibility"])
    else:
        told = jnp.round(stride**2 * jnp.prod(boxes[..., 2:] - boxes[..., :2], axis=-1))
    told = told.astype(jnp.int32)
    if "segmentations" not in batch:
        return told
    counted = jnp.sum(masks_of(batch), axis=(-2, -1), dtype=jnp.int32)
    # A clip of another data set may have none.
    drawn = jnp.any(batch["segmentations"] > 0, axis=(1, 2, 3, 4))
    return jnp.where(drawn[:, None, None], counted, told)
