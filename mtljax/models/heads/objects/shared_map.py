"""One map that all heads for objects share: its cells, the frames of its clips, and which cells are asked for."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mtljax.errors import UserError
from mtljax.models.parts.pyramid import feature_maps
from mtljax.objects.detections import Detections, told
from mtljax.objects.frames import PIXELS, Objects, in_frames
from mtljax.objects.targets import places

WANTED = "objects want an encoder such as FPN(encoder=ResNet(...))"
BOXES = "boxes"  # the role of the parent that detects


class SharedMap(NamedTuple):
    """A map of clips, and what is asked of it.

    Attributes:
        x: (B s, h, w, C).
        frames: s, 1 where there are no clips.
        single: whether there are none, but single images; predictions then have no axis s.
        objects: the labels' objects in training, where they are given; else None.
        cells: (B s, M, 2), where they are; else None.
    """

    x: jax.Array
    frames: int
    single: bool
    objects: Objects | None
    cells: jax.Array | None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in cells."""
        return self.x.shape[1], self.x.shape[2]

    def by_clip(self, values: jax.Array) -> jax.Array:
        """(B s, ...) -> (B, s, ...)."""
        return values.reshape(-1, self.frames, *values.shape[1:])


def shared_map(
    head: Any, features: Any, size: tuple[int, int] | None, frames: int | None, labels: Any = None
) -> SharedMap:
    """What a head was given, as one map of the stride that it knows.

    Args:
        head: with `stride`, and `least`: pixels in which an object of labels counts.
        features: one map, or a pyramid, of which the finest level is taken.
        size: (H, W) of the images; None where nobody knows it.
        frames: s of a clip; None for single images.
        labels: the batch, or None.

    Raises:
        UserError: for a map of another stride.
    """
    x = feature_maps(features, f"{type(head).__name__} takes", WANTED)[0]
    cells = x.shape[1:3]
    if size is not None and tuple(head.stride * n for n in cells) != tuple(size):
        raise UserError(
            f"{type(head).__name__}(stride={head.stride}): a map of {cells[0]} x {cells[1]} cells for images of "
            f"{size[0]} x {size[1]} pixels; expected cells of {head.stride} pixels, as FPN(stride={head.stride}) gives."
        )
    objects = None if labels is None else labelled(head, labels)
    at = None if objects is None else places(objects.boxes, *cells).cell
    return SharedMap(x, frames or 1, frames is None, objects, None if at is None else at.reshape(-1, *at.shape[2:]))


def boxes_of(
    head: Any, seen: SharedMap, parents: Mapping[str, Any] | None, edges: Mapping[str, str] | None, labels: Any
) -> Detections:
    """The detections that a head reads: its parent's, or those of labels where that edge is `truth`.

    Raises:
        UserError: where there is no such parent, or no label in its place.
    """
    parent = parent_of(head, BOXES, parents, seen)
    if by_labels(head, BOXES, edges, labels):
        classes = parent["detections"].classes.shape[-1]
        return told(labelled(head, labels), *seen.size, classes, head.stride)
    return parent["detections"]


def parent_of(head: Any, role: str, parents: Mapping[str, Any] | None, seen: SharedMap) -> Any:
    """The prediction of the parent of a role, with an axis of frames; a `UserError` where there is none."""
    if not parents or role not in parents:
        raise UserError(
            f"{type(head).__name__} wants a parent as {role!r}, such as parents={{task: {{{role!r}: another task}}}}; "
            f"it has {', '.join(parents) if parents else 'none'}."
        )
    return jax.tree.map(lambda x: x[:, None], parents[role]) if seen.single else parents[role]


def by_labels(head: Any, role: str, edges: Mapping[str, str] | None, labels: Any) -> bool:
    """Whether labels stand in the place of a parent; while parameters are made, for want of labels they need not."""
    return (edges or {}).get(role) == "truth" and not (labels is None and head.is_initializing())


def labelled(head: Any, labels: Any) -> Objects:
    """The objects of labels that stand in a parent's place; a `UserError` where there are no labels."""
    if labels is None:
        raise UserError(f"{type(head).__name__}: an edge is 'truth', and there are no labels to take in its place.")
    return in_frames(labels, head.stride, getattr(head, "least", PIXELS))


def centres_of(seen: SharedMap, parent: Mapping[str, Any]) -> jax.Array:
    """The centres in cells that a parent's maps tell: of every cell (B, s, h, w, 2), or of the objects (B, s, M, 2)."""
    height, width = seen.size
    x, y = jnp.meshgrid(jnp.arange(width), jnp.arange(height))
    everywhere = parent["offset"].reshape(-1, height, width, 2) + jnp.stack([x, y], axis=-1)
    if seen.cells is None:
        return seen.by_clip(everywhere)
    index = (seen.cells[..., 1] * width + seen.cells[..., 0])[..., None]
    return seen.by_clip(jnp.take_along_axis(everywhere.reshape(len(everywhere), -1, 2), index, axis=1))


def given_back(prediction: Any, seen: SharedMap) -> Any:
    """A prediction (B, s, ...), of single images without the axis of frames."""
    return jax.tree.map(lambda x: x[:, 0], prediction) if seen.single else prediction
