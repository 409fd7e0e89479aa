"""What geometry says of several predictions at once: how far they are from it, at every pixel."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mtljax import geometry
from mtljax.geometry.camera import NEAR
from mtljax.geometry.surfaces import EDGE_COSINE, EDGE_STEP
from mtljax.tasks.labels import intrinsics_of
from mtljax.tasks.losses.vectors import degrees, length, unit

_PIXELS = 20.0  # of flow that a loss counts as 1, as that of `flow` does
_SOFT_COSINE, _SOFT_STEP = 0.02, 0.01  # over which a surface that turns or steps becomes an edge

Predictions = Mapping[str, jax.Array]


class Disagreement(NamedTuple):
    """How far predictions are from a relation.

    Attributes:
        loss: (B, s, H, W), 0 where they agree.
        figure: (B, s, H, W), the same in the unit of the relation's metric.
        known: (B, s, H, W) bool: where the relation can tell.
    """

    loss: jax.Array
    figure: jax.Array
    known: jax.Array


class Relation(NamedTuple):
    """A relation between predictions.

    Attributes:
        name: that ends the name of its task.
        between: what it ties.
        figure: name of its metric.
        frames: how many a clip must have.
        disagreement: `(predictions, batch) -> Disagreement`, of float32 maps of valid depths.
    """

    name: str
    between: tuple[str, ...]
    figure: str
    frames: int
    disagreement: Callable[[Predictions, Any], Disagreement]


def depth_normals(predicted: Predictions, batch: Any) -> Disagreement:
    """Normals against those of planes fitted to depth: 1 - cosine, and degrees."""
    depth = predicted["depth"]
    valid = depth > NEAR
    intrinsics = intrinsics_of(batch, len(depth))[:, None]
    of_depth, known = geometry.normals_from_depth(depth, valid, intrinsics)
    cosine = jnp.sum(of_depth * unit(predicted["normals"]), axis=-1)
    return Disagreement(1 - cosine, degrees(of_depth, predicted["normals"]), known[..., 0])


def depth_normals_edges(predicted: Predictions, batch: Any) -> Disagreement:
    """The probability of an edge against that of a surface that turns by 30 degrees or steps by 5 % of the depth."""
    depth, normals = predicted["depth"], unit(predicted["normals"])
    known = depth > NEAR
    depth = jnp.where(known, depth, 1.0)
    points = geometry.backproject(depth, intrinsics_of(batch, len(depth))[:, None])
    edge = jnp.zeros(depth.shape[:-1])
    for axis in (0, 1):
        cosine, off = geometry.meeting(points, depth[..., 0], normals, axis)
        turns, steps = (EDGE_COSINE - cosine) / _SOFT_COSINE, (off - EDGE_STEP) / _SOFT_STEP
        edge = jnp.maximum(edge, _of_both(jax.nn.sigmoid(jnp.maximum(turns, steps)), axis))
    error = jnp.abs(edge - jax.nn.sigmoid(predicted["edges"][..., 0]))
    return Disagreement(error, error, known[..., 0])


def depth_motion_flow(predicted: Predictions, batch: Any) -> Disagreement:
    """Flow against that which the camera's motion makes of a still world of that depth: the distance in pixels."""
    depth = predicted["depth"]
    known = depth > NEAR
    matrix = geometry.inverse(geometry.matrix_of(predicted["ego_motion"]))
    intrinsics = intrinsics_of(batch, len(depth))[:, None]
    rigid, in_front = geometry.rigid_flow(jnp.where(known, depth, 1.0), intrinsics, matrix)
    distance = length(rigid - predicted["flow"][..., :2])[..., 0]
    has_next = jnp.arange(depth.shape[1])[:, None, None] < depth.shape[1] - 1
    return Disagreement(distance / _PIXELS, distance, (known & in_front)[..., 0] & has_next)


RELATIONS = (
    Relation("depth_normals", ("depth", "normals"), "angle", 1, depth_normals),
    Relation("depth_normals_edges", ("depth", "normals", "edges"), "difference", 1, depth_normals_edges),
    Relation("depth_motion_flow", ("depth", "ego_motion", "flow"), "distance", 2, depth_motion_flow),
)


def _of_both(between: jax.Array, axis: int) -> jax.Array:
    """Of what is between neighbours along an axis, the larger of each pixel's two."""
    after, before = ([(0, 0)] * between.ndim for _ in range(2))
    after[axis - 2], before[axis - 2] = (0, 1), (1, 0)
    return jnp.maximum(jnp.pad(between, after), jnp.pad(between, before))
