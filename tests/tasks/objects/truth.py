"""A batch of small clips, and what perfect heads would say of it: predictions made of its labels."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.data.pipeline import collate, in_unit_range
from mtljax.data.scenes.dataset import to_example
from mtljax.data.scenes.render import render_clip
from mtljax.objects.detections import detected
from mtljax.objects.frames import in_frames
from mtljax.objects.masks import FEATURES, NUMBERS, WIDTHS
from mtljax.objects.matching import best
from mtljax.objects.poses import MEAN_LOG_DEPTH, ray, ray_rotation
from mtljax.objects.targets import heat_map, places
from mtljax.objects.views import seen_by

CLIPS, FRAMES, SIZE, SLOTS = 2, 7, 48, 12
HISTORY, STEPS = 3, 4


@functools.cache
def batch():
    """Two clips of `scenes`, with places as an evaluation has them."""
    examples = [to_example(render_clip(SIZE, FRAMES, 3, "validation", i), i) for i in range(CLIPS)]
    found = dict(in_unit_range(collate(examples)))
    return {**found, "place": np.arange(CLIPS), "objects_valid": np.ones((CLIPS, FRAMES), bool)}


@functools.cache
def objects():
    """Its objects, on maps of stride 1."""
    return in_frames(batch(), 1)


def on_map(values):
    """Maps (B, s, h, w, D) that hold the values of objects that count in the cells of their centres."""
    cell = places(objects().boxes, SIZE, SIZE).cell
    found = np.zeros((CLIPS, FRAMES, SIZE, SIZE, values.shape[-1]), np.float32)
    for at in np.argwhere(np.asarray(objects().counts)):
        x, y = cell[tuple(at)]
        found[at[0], at[1], y, x] = values[tuple(at)]
    return jnp.asarray(found)


@functools.cache
def detect():
    at = places(objects().boxes, SIZE, SIZE)
    none = jnp.zeros_like(objects().category)
    heat = heat_map(objects().boxes, objects().counts, none, SIZE, SIZE)
    heat = jnp.log(jnp.maximum(heat, 1e-4)) - jnp.log1p(-jnp.minimum(heat, 1 - 1e-4))
    classes = on_map(40 * np.asarray(jax.nn.one_hot(objects().category, 4)))
    size, offset = on_map(at.size), on_map(at.offset)
    found = detected(heat, classes, size, offset, SLOTS, 1)
    return {"heat": heat, "classes": classes, "size": size, "offset": offset, "detections": found}


@functools.cache
def instances():
    """Features are the masks of the first objects, of which each one's network takes its own."""
    ids = np.asarray(batch()["segmentations"])[..., 0]
    assert ids.max() <= FEATURES
    features = (ids[..., None] == 1 + np.arange(FEATURES)).astype(np.float32)
    numbers = np.zeros((*objects().counts.shape, NUMBERS), np.float32)
    second = WIDTHS[0] * WIDTHS[1] + WIDTHS[1]
    third = second + WIDTHS[1] * WIDTHS[2] + WIDTHS[2]
    for one in range(min(FEATURES, numbers.shape[2])):
        numbers[:, :, one, one * WIDTHS[1]] = 1  # its feature, to the first channel
    numbers[..., second] = 1
    numbers[..., third], numbers[..., -1] = 20, -10
    return {"features": features, "controller": on_map(numbers), "detections": detect()["detections"]}


@functools.cache
def pose():
    view = seen_by(batch()["camera"], objects(), "pose")
    middle = (objects().boxes[..., :2] + objects().boxes[..., 2:]) / 2
    direction = ray(view.image, jnp.asarray(batch()["camera"]["intrinsics"])[:, None, None])
    turn = jnp.einsum("...ji,...jk->...ik", ray_rotation(direction), view.rotation)
    six = jnp.concatenate([turn[..., 0] - jnp.eye(3)[0], turn[..., 1] - jnp.eye(3)[1]], axis=-1)
    depth = jnp.log(jnp.maximum(view.translation[..., 2:], 0.1)) - MEAN_LOG_DEPTH
    sizes = jnp.log(jnp.maximum(objects().half_sizes, 1e-3))
    numbers = jnp.concatenate([six, view.image - middle, depth, sizes], axis=-1)
    return {"numbers": on_map(numbers), "detections": detect()["detections"]}


@functools.cache
def track():
    centre = (objects().boxes[..., :2] + objects().boxes[..., 2:]) / 2
    offset = jnp.concatenate([jnp.zeros_like(centre[:, :1]), centre[:, :-1] - centre[:, 1:]], axis=1)
    return {"offset": on_map(offset), "detections": detect()["detections"]}


@functools.cache
def trajectory():
    """Of each detection the way that its object goes, as the likeliest of three, and where it was."""
    found = detect()["detections"]
    index, there = best(found.box, objects(), 1)
    where = jnp.take_along_axis(objects().positions, index[..., None], axis=2)
    index_then = np.minimum(np.arange(FRAMES)[:, None] + 1 + np.arange(STEPS), FRAMES - 1)
    later = jnp.moveaxis(objects().positions[:, index_then, :, :2], 2, 3)
    paths = jnp.take_along_axis(later, index[..., None, None], axis=2) - where[..., None, :2]
    before = np.maximum(np.arange(FRAMES)[:, None] - np.arange(HISTORY)[::-1], 0)
    past = jnp.take_along_axis(jnp.moveaxis(objects().positions[:, before], 2, 3), index[..., None, None], axis=2)
    ids = jnp.where(there & (found.score > 0.3), index + 1, 0)
    return {
        "paths": jnp.stack([paths, paths + 1, paths - 2], axis=3),
        "logits": jnp.broadcast_to(jnp.array([3.0, 1.0, 0.0]), (*ids.shape, 3)),
        "last": where,
        "ids": ids,
        "history": past - where[..., None, :],
        "seen": jnp.broadcast_to(ids[..., None] > 0, (*ids.shape, HISTORY)),
        "detections": found,
    }


PERFECT = {"detect": detect, "instances": instances, "pose": pose, "track": track, "trajectory": trajectory}
