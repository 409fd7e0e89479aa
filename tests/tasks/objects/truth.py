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
def perfect():
    """Task -> the prediction; made at once, on maps of stride 1."""
    labels = {key: batch()[key] for key in ("image", "instances", "instances_valid", "segmentations", "camera")}
    return jax.jit(_made)(labels)


def _made(labels):
    objects = in_frames(labels, 1)
    detect = _detect(objects)
    found = {"detections": detect["detections"]}
    centre = (objects.boxes[..., :2] + objects.boxes[..., 2:]) / 2
    offset = jnp.concatenate([jnp.zeros_like(centre[:, :1]), centre[:, :-1] - centre[:, 1:]], axis=1)
    return {
        "detect": detect,
        "instances": found | _instances(labels, objects),
        "pose": found | {"numbers": _on_map(objects, _numbers(labels, objects, centre))},
        "track": found | {"offset": _on_map(objects, offset)},
        "trajectory": found | _trajectory(objects, detect["detections"]),
    }


def _on_map(objects, values):
    """Maps (B, s, h, w, D) that hold the values of objects that count in the cells of their centres."""
    cell = places(objects.boxes, SIZE, SIZE).cell
    clip, frame = jnp.arange(CLIPS)[:, None, None], jnp.arange(FRAMES)[:, None]
    there = jnp.where(objects.counts[..., None], values, 0.0)
    return (
        jnp.zeros((CLIPS, FRAMES, SIZE, SIZE, values.shape[-1])).at[clip, frame, cell[..., 1], cell[..., 0]].add(there)
    )


def _detect(objects):
    at = places(objects.boxes, SIZE, SIZE)
    heat = heat_map(objects.boxes, objects.counts, jnp.zeros_like(objects.category), SIZE, SIZE)
    heat = jnp.log(jnp.maximum(heat, 1e-4)) - jnp.log1p(-jnp.minimum(heat, 1 - 1e-4))
    classes = _on_map(objects, 40.0 * jax.nn.one_hot(objects.category, 4))
    size, offset = _on_map(objects, at.size), _on_map(objects, at.offset)
    found = detected(heat, classes, size, offset, SLOTS, 1)
    return {"heat": heat, "classes": classes, "size": size, "offset": offset, "detections": found}


def _instances(labels, objects):
    """Features are the masks of the first objects, of which each one's network takes its own."""
    features = (labels["segmentations"] == 1 + np.arange(FEATURES)).astype(jnp.float32)
    numbers = np.zeros((*objects.counts.shape, NUMBERS), np.float32)
    second = WIDTHS[0] * WIDTHS[1] + WIDTHS[1]
    third = second + WIDTHS[1] * WIDTHS[2] + WIDTHS[2]
    for one in range(min(FEATURES, numbers.shape[2])):
        numbers[:, :, one, one * WIDTHS[1]] = 1  # its feature, to the first channel
    numbers[..., second] = 1
    numbers[..., third], numbers[..., -1] = 20, -10
    return {"features": features, "controller": _on_map(objects, numbers)}


def _numbers(labels, objects, middle):
    view = seen_by(labels["camera"], objects, "pose")
    direction = ray(view.image, jnp.asarray(labels["camera"]["intrinsics"])[:, None, None])
    turn = jnp.einsum("...ji,...jk->...ik", ray_rotation(direction), view.rotation)
    six = jnp.concatenate([turn[..., 0] - jnp.eye(3)[0], turn[..., 1] - jnp.eye(3)[1]], axis=-1)
    depth = jnp.log(jnp.maximum(view.translation[..., 2:], 0.1)) - MEAN_LOG_DEPTH
    sizes = jnp.log(jnp.maximum(objects.half_sizes, 1e-3))
    return jnp.concatenate([six, view.image - middle, depth, sizes], axis=-1)


def _trajectory(objects, found):
    """Of each detection the way that its object goes, as the likeliest of three, and where it was."""
    index, there = best(found.box, objects, 1)
    where = jnp.take_along_axis(objects.positions, index[..., None], axis=2)
    then = np.minimum(np.arange(FRAMES)[:, None] + 1 + np.arange(STEPS), FRAMES - 1)
    later = jnp.moveaxis(objects.positions[:, then, :, :2], 2, 3)
    paths = jnp.take_along_axis(later, index[..., None, None], axis=2) - where[..., None, :2]
    before = np.maximum(np.arange(FRAMES)[:, None] - np.arange(HISTORY)[::-1], 0)
    past = jnp.take_along_axis(jnp.moveaxis(objects.positions[:, before], 2, 3), index[..., None, None], axis=2)
    ids = jnp.where(there & (found.score > 0.3), index + 1, 0)
    return {
        "paths": jnp.stack([paths, paths + 1, paths - 2], axis=3),
        "logits": jnp.broadcast_to(jnp.array([3.0, 1.0, 0.0]), (*ids.shape, 3)),
        "last": where,
        "ids": ids,
        "history": past - where[..., None, :],
        "seen": jnp.broadcast_to(ids[..., None] > 0, (*ids.shape, HISTORY)),
    }
