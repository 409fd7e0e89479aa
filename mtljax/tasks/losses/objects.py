"""The losses of the tasks for objects: what their heads predict against a batch's objects, in sums and counts.

In training heads predict at true centres, where they get labels; elsewhere they give maps, which are read there.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.errors import UserError
from mtljax.objects.decoding import read
from mtljax.objects.frames import PIXELS, Objects, in_frames, masks_of
from mtljax.objects.masks import mask_logits
from mtljax.objects.matching import best
from mtljax.objects.poses import pose, split
from mtljax.objects.symmetry import NONE
from mtljax.objects.targets import places
from mtljax.objects.views import seen_by
from mtljax.tasks.losses.detection import DetectionMaps, Wanted, detection_loss, l1_of
from mtljax.tasks.losses.masked import number
from mtljax.tasks.losses.masks import dice
from mtljax.tasks.losses.paths import modes_loss
from mtljax.tasks.losses.poses import TruePose, pose_loss
from mtljax.tasks.task import Batch

Loss = Callable[[Any, Batch], tuple[jax.Array, jax.Array]]


def detect(stride: int, least: int = PIXELS) -> Loss:
    """Of what `heads.Detect` predicts, see `detection_loss`.

    Args:
        stride: pixels of a cell's side.
        least: pixels in which an object that counts is seen.
    """

    def loss(prediction: Any, batch: Batch) -> tuple[jax.Array, jax.Array]:
        objects = in_frames(batch, stride, least)
        maps = DetectionMaps(*(prediction.get(key) for key in ("heat", "classes", "size", "offset")))
        wanted = Wanted(objects.boxes, objects.category, objects.counts, objects.ignored, objects.labelled)
        return detection_loss(maps, wanted)

    return loss


def instances(stride: int, least: int = PIXELS) -> Loss:
    """Of what `heads.Instances` predicts: the dice loss of the masks of objects that count, where there is a map.

    Args:
        stride: as of `detect`.
        least: as of `detect`.
    """

    def loss(prediction: Any, batch: Batch) -> tuple[jax.Array, jax.Array]:
        objects = in_frames(batch, stride, least)
        cells = cells_of(objects, batch, stride)
        centres = at_objects(prediction["centres"], cells) if "centres" in prediction else cells
        controller = at_objects(prediction["controller"], cells)
        logits = mask_logits(prediction["features"], controller, centres, stride)
        masks = masks_of(batch)
        # A clip of a set that lists boxes alone has no map.
        return dice(logits, masks, objects.counts & jnp.any(masks, axis=(-2, -1)))

    return loss


def pose_of(stride: int, kinds: Sequence[int] = (), least: int = PIXELS) -> Loss:
    """Of what `heads.Pose` predicts, see `pose_loss`: over the objects that count and whose pose is known.

    Args:
        stride: as of `detect`.
        kinds: of each class the kind of its symmetry, of `mtljax.objects.symmetry`; classes beyond have none.
        least: as of `detect`.
    """

    def loss(prediction: Any, batch: Batch) -> tuple[jax.Array, jax.Array]:
        objects = in_frames(batch, stride, least)
        if objects.half_sizes is None:
            raise UserError("pose reads 'scale' of 'instances', half sizes in metres, which the batch does not have.")
        cells = cells_of(objects, batch, stride)
        view = seen_by(batch.get("camera"), objects, "pose")
        middle = (objects.boxes[..., :2] + objects.boxes[..., 2:]) / 2
        centres = at_objects(prediction["centres"], cells) if "centres" in prediction else middle
        numbers = split(at_objects(prediction["numbers"], cells))
        intrinsics = jnp.asarray(batch["camera"]["intrinsics"], jnp.float32)[:, None, None]
        found = pose(numbers, centres, intrinsics, stride)
        counts = objects.counts & view.in_front
        truth = TruePose(
            view.rotation, view.image / stride - centres, view.translation[..., 2], objects.half_sizes,
            kind_of(objects.category, kinds),
        )  # fmt: skip
        return pose_loss(found.rotation, numbers, truth, counts)

    return loss


def track(stride: int, least: int = PIXELS) -> Loss:
    """Of what `heads.Track` predicts: the L1 error, in cells, of objects that count in a frame and in that before.

    Args:
        stride: as of `detect`.
        least: as of `detect`.
    """

    def loss(prediction: Any, batch: Batch) -> tuple[jax.Array, jax.Array]:
        objects = in_frames(batch, stride, least)
        offset = at_objects(prediction["offset"], cells_of(objects, batch, stride))[:, 1:]
        centre = (objects.boxes[..., :2] + objects.boxes[..., 2:]) / 2
        both = objects.counts[:, :-1] & objects.counts[:, 1:]
        return jnp.sum(l1_of(offset, centre[:, :-1] - centre[:, 1:], both)), number(both)

    return loss


def trajectory(stride: int, space: str = "world", least: int = PIXELS) -> Loss:
    """Of what `heads.Trajectory` predicts of tracks, see `modes_loss`: over all tracks of all frames, for steps known.

    A slot is told of by the true object that it is made of or, of detections, by the one with the largest IoU.

    Args:
        stride: as of `detect`.
        space: as of the head.
        least: as of `detect`.
    """

    def loss(prediction: Any, batch: Batch) -> tuple[jax.Array, jax.Array]:
        objects = in_frames(batch, stride, least)
        paths = prediction["paths"]
        truth, valid = futures(batch, objects, paths.shape[-2], stride, space)
        if "object" in prediction:
            at, there = prediction["object"], objects.counts
        else:
            at, there = best(prediction["detections"].box, objects, stride)
        index = at[..., None, None]
        own, known = jnp.take_along_axis(truth, index, axis=2), jnp.take_along_axis(valid, index, axis=2)[..., 0]
        relative = own - prediction["last"][..., None, :2]
        return modes_loss(paths, prediction["logits"], relative, known & (there & (prediction["ids"] > 0))[..., None])

    return loss


def path(label: str = "future") -> Loss:
    """Of what `heads.Trajectory` predicts of vectors, against a label (B, T, 2) with its mask: see `modes_loss`."""

    def loss(prediction: Any, batch: Batch) -> tuple[jax.Array, jax.Array]:
        valid = jnp.asarray(batch[f"{label}_valid"], bool)[..., 0]
        return modes_loss(prediction["paths"], prediction["logits"], jnp.asarray(batch[label]), valid)

    return loss


def futures(
    batch: Batch, objects: Objects, steps: int, stride: int, space: str = "world"
) -> tuple[jax.Array, jax.Array]:
    """Where every object is in the next frames: those of the clip and, in the world, those that `future` tells of.

    Args:
        batch: it may have `future` (B, M, F, 2) and `future_valid` (B, M, F, 1), the frames behind the clip.
        objects: of the batch.
        steps: T.
        stride: pixels of a cell's side.
        space: `world`, on its ground plane in metres; or `image`, of the boxes of objects that count, in pixels.

    Returns:
        Places (B, s, M, T, 2), and which are known, (B, s, M, T, 1) bool.

    Raises:
        UserError: where objects have no positions in the world.
    """
    if space == "world":
        if objects.positions is None:
            raise UserError("trajectory reads 'positions' of 'instances', which the batch does not have.")
        places_now = objects.positions[..., :2]
        told = jnp.any(objects.positions != 0, axis=(1, 3))  # zeros in all frames are no places, of a mix of sets
        known = jnp.broadcast_to((jnp.asarray(batch["instances_valid"], bool) & told)[:, None], objects.counts.shape)
    else:
        places_now = stride * (objects.boxes[..., :2] + objects.boxes[..., 2:]) / 2
        known = objects.counts
    frames, later, valid = known.shape[1], jnp.swapaxes(places_now, 1, 2), jnp.swapaxes(known, 1, 2)[..., None]
    if "future" in batch and space == "world":
        later = jnp.concatenate([later, jnp.asarray(batch["future"])], axis=2)
        valid = jnp.concatenate([valid, jnp.asarray(batch["future_valid"], bool) & told[..., None, None]], axis=2)
    pad = ((0, 0), (0, 0), (0, steps), (0, 0))
    later, valid = jnp.pad(later, pad), jnp.pad(valid, pad)  # (B, M, s + F + T, ...)
    index = 1 + np.arange(frames)[:, None] + np.arange(steps)
    return jnp.swapaxes(later[:, :, index], 1, 2), jnp.swapaxes(valid[:, :, index], 1, 2)


def kind_of(category: jax.Array, kinds: Sequence[int]) -> jax.Array:
    """The kind of symmetry of each class, which are counted from 0; of those beyond `kinds` there is none."""
    table = jnp.array([*kinds, NONE], jnp.int32)
    return table[jnp.where((category >= 0) & (category < len(kinds)), category, len(kinds))]


def cells_of(objects: Objects, batch: Batch, stride: int) -> jax.Array:
    """The cells of the objects' centres, (B, s, M, 2)."""
    height, width = batch["image"].shape[-3:-1]
    return places(objects.boxes, height // stride, width // stride).cell


def at_objects(values: jax.Array, cells: jax.Array) -> jax.Array:
    """What a head says of objects, (B, s, M, D): as it is, or of its maps (B, s, h, w, D) what they hold there."""
    return values if values.ndim == 4 else read(values, cells)
