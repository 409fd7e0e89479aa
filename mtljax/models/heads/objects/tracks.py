"""Whose paths are to be told, and where these objects are: true ones in training, detections elsewhere."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mtljax.models.heads.objects.shared_map import by_labels, labelled
from mtljax.objects.decoding import read
from mtljax.objects.detections import Detections, centres, told
from mtljax.objects.frames import Objects
from mtljax.objects.matching import best
from mtljax.objects.poses import pose, split
from mtljax.objects.views import checked_camera, in_world

WORLD, IMAGE = SPACES = ("world", "image")


class Tracks(NamedTuple):
    """The K slots of each frame.

    Attributes:
        places: (B, s, K, 3), in the world in metres, or in the image in pixels, z being 0.
        motion: (B, s, K, 2), centre(t - 1) - centre(t) in cells; 0 on the first frame.
        ids: (B, s, K) int32, 0 for none.
        detections: what the slots hold.
        true: whether they are the true objects, in their order.
    """

    places: jax.Array
    motion: jax.Array
    ids: jax.Array
    detections: Detections
    true: bool


def tracks_of(
    head: Any,
    features: Any,
    size: tuple[int, int] | None,
    frames: int,
    camera: Mapping[str, Any] | None,
    parents: Mapping[str, Any],
    edges: Mapping[str, str],
    labels: Any,
    train: bool,
) -> Tracks:
    """The tracks that `Trajectory` is told of, by what its parents predict or, where an edge is `truth`, by labels.

    Raises:
        UserError: without a camera, or without labels where they stand in a parent's place.
    """
    track = parents["tracks"]
    objects = None
    true_tracks, true_poses = (by_labels(head, role, edges, labels) for role in ("tracks", "poses"))
    if true_tracks or (train and labels is not None):
        objects = labelled(head, labels)
    found = track["detections"]
    if objects is not None:
        height, width = track["offset"].shape[2:4] if track["offset"].ndim == 5 else _cells(size, head.stride)
        found = told(objects, height, width, found.classes.shape[-1], head.stride)
    places = _in_image(found) if head.space == IMAGE else _places(head, found, parents["poses"], camera)
    if true_poses:
        places = _true_places(head, labelled(head, labels), found, places, objects is not None)
    motion = _true_motion(objects) if objects is not None and true_tracks else _at(track["offset"], found)
    ids = track["ids"] if objects is None else _true_ids(objects)
    # On a clip's first frame there is none.
    motion = jnp.where(jnp.arange(frames)[:, None, None] > 0, motion, 0.0)
    return Tracks(places, motion, ids, found, objects is not None)


def _cells(size: tuple[int, int] | None, stride: int) -> tuple[int, int]:
    return (1, 1) if size is None else (size[0] // stride, size[1] // stride)


def _at(values: jax.Array, found: Detections) -> jax.Array:
    """What maps (B, s, h, w, D) hold at slots; values of slots (B, s, K, D) as they are."""
    return values if values.ndim == 4 else read(values, found.cell)


def _in_image(found: Detections) -> jax.Array:
    """The boxes' centres in pixels, with 0 for z."""
    return jnp.pad((found.box[..., :2] + found.box[..., 2:]) / 2, ((0, 0), (0, 0), (0, 0), (0, 1)))


def _places(
    head: Any, found: Detections, poses: Mapping[str, jax.Array], camera: Mapping[str, Any] | None
) -> jax.Array:
    camera = checked_camera(camera, "trajectory")
    at = _at(poses["centres"], found) if "centres" in poses else centres(found, head.stride)
    numbers = split(_at(poses["numbers"], found))
    intrinsics = camera["intrinsics"][:, None, None]
    return in_world(camera, pose(numbers, at, intrinsics, head.stride).translation)


def _true_ids(objects: Objects) -> jax.Array:
    """1 + an object's place among the labels', 0 in frames in which it does not count."""
    return jnp.where(objects.counts, 1 + jnp.arange(objects.counts.shape[-1], dtype=jnp.int32), 0)


def _true_motion(objects: Objects) -> jax.Array:
    """Where a centre was a frame before, relative to where it is; 0 where it does not count in both."""
    centre = (objects.boxes[..., :2] + objects.boxes[..., 2:]) / 2
    moved = centre[:, :-1] - centre[:, 1:]
    both = (objects.counts[:, :-1] & objects.counts[:, 1:])[..., None]
    return jnp.pad(jnp.where(both, moved, 0.0), ((0, 0), (1, 0), (0, 0), (0, 0)))


def _true_places(head: Any, objects: Objects, found: Detections, otherwise: jax.Array, in_order: bool) -> jax.Array:
    """Where the objects of slots truly are; for what is no object's detection, the place that was predicted."""
    if objects.positions is None:
        return otherwise
    if in_order:
        return objects.positions
    index, there = best(found.box, objects, head.stride)
    true = jnp.take_along_axis(objects.positions, index[..., None], axis=-2)
    return jnp.where(there[..., None], true, otherwise)
