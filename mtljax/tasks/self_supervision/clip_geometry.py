"""Where depth, ego-motion and flow say that each frame's pixels are in its neighbours, and what is seen there."""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from mtljax import geometry
from mtljax.tasks.labels import intrinsics_of
from mtljax.tasks.self_supervision import neighbours
from mtljax.tasks.self_supervision.occlusion import visible
from mtljax.tasks.self_supervision.photometric import blurred, photometric_error


class ClipGeometry(NamedTuple):
    """A clip and what is said of it, in float32; pairs as in `neighbours`.

    Attributes:
        image: (B, s, H, W, 3).
        depth: (B, s, H, W, S) metres.
        pixels: of all S depths, where a frame's pixels are in its neighbour, (B, 2, s - 1, S, H, W, 2).
        valid: whether they are there, (B, 2, s - 1, S, H, W, 1) bool.
        rigid_flow: of the first depth, (B, 2, s - 1, H, W, 2).
        flow: what else says so, (B, 1 or 2, s - 1, H, W, 2): to the next frame and, where predicted, to the one before.
    """

    image: jax.Array
    depth: jax.Array
    pixels: jax.Array
    valid: jax.Array
    rigid_flow: jax.Array
    flow: jax.Array | None

    @property
    def free_flow(self) -> jax.Array:
        """`flow`, of a clip that has one."""
        return cast(jax.Array, self.flow)

    @property
    def unwarped_error(self) -> jax.Array:
        """Of each frame against its neighbours as they are: (B, 2, s, H, W, 1), infinite where there is none."""
        error = photometric_error(self.image[:, 1:], self.image[:, :-1])
        return neighbours.by_frame(jnp.stack([error, error], axis=1), jnp.inf)

    def views(self) -> jax.Array:
        """Each frame made from its neighbours by each depth, (B, 2, s - 1, S, H, W, 3)."""
        scales, height = self.pixels.shape[3:5]
        rows = self.pixels.reshape(*self.pixels.shape[:3], scales * height, *self.pixels.shape[5:])
        return geometry.sample(neighbours.there(self.image), rows)[0].reshape(*self.pixels.shape[:-1], -1)

    def rigid_error(self, seen: jax.Array | None) -> jax.Array:
        """Of the better view of each pixel, (B, s, S, H, W, 1); infinite where there is none.

        Args:
            seen: which pixels the neighbours show, (B, 2, s - 1, H, W, 1) bool; None for all.
        """
        error = photometric_error(self.views(), neighbours.here(self.image)[:, :, :, None])
        valid = self.valid if seen is None else self.valid & seen[:, :, :, None]
        return _best(error, valid)

    def flow_error(self, seen: jax.Array | None) -> jax.Array:
        """As `rigid_error`, of the views that `flow` makes: (B, s, H, W, 1)."""
        ways = self.free_flow.shape[1]
        made, valid = geometry.flow_warp(neighbours.there(self.image)[:, :ways], self.free_flow)
        error = photometric_error(made, neighbours.here(self.image)[:, :ways])
        return _best(error, valid if seen is None else valid & seen[:, :ways])

    def seen(self, rule: str) -> jax.Array:
        """The pixels that the neighbours show, by flows both ways or by rigid ones: (B, 2, s - 1, H, W, 1) bool."""
        flow = self.rigid_flow if self.flow is None or self.flow.shape[1] == 1 else self.flow
        return visible(flow, flow[:, ::-1], rule)

    def flow_inside(self) -> jax.Array:
        """Whether `flow` leads into the neighbour, (B, 1 or 2, s - 1, H, W, 1) bool."""
        height, width = self.depth.shape[2:4]
        return geometry.inside(geometry.pixel_grid(height, width) + self.free_flow, height, width)


def clip_geometry(
    batch: Mapping[str, Any], depth: jax.Array, ego_motion: jax.Array, flows: list[jax.Array], residual: bool, blur: int
) -> ClipGeometry:
    """Puts together what is predicted.

    Args:
        batch: with `image` and `camera`.
        depth: (B, s, H, W, S) metres.
        ego_motion: (B, s, 6).
        flows: none, or (B, s, H, W, 2 or more) to the next frame, or that and one to the frame before.
        residual: whether the flows come on top of the rigid flow, which then gets no gradient by them.
        blur: how often the images are `blurred`.
    """
    if "camera" not in batch:
        raise ValueError("self-supervision reads camera intrinsics, and the batch has no 'camera'.")
    intrinsics = intrinsics_of(batch, len(depth))[:, None, None, None]
    depth = jnp.asarray(depth, jnp.float32)
    matrix = neighbours.motions(jnp.asarray(ego_motion, jnp.float32))
    by_scale = jnp.moveaxis(neighbours.here(depth), -1, 3)[..., None]
    pixels, in_front = geometry.seen_from(by_scale, intrinsics, matrix[:, :, :, None])
    height, width = depth.shape[2:4]
    valid = geometry.inside(pixels, height, width) & in_front
    rigid_flow = pixels[:, :, :, 0] - geometry.pixel_grid(height, width)
    ways = [flow[:, way : flow.shape[1] - 1 + way, ..., :2] for way, flow in enumerate(flows)]
    flow = jnp.stack(ways, axis=1).astype(jnp.float32) if ways else None
    if flow is not None and residual:
        flow = flow + jax.lax.stop_gradient(rigid_flow)[:, : len(ways)]
    image = blurred(jnp.asarray(batch["image"], jnp.float32), blur)
    return ClipGeometry(image, depth, pixels, valid, rigid_flow, flow)


def _best(error: jax.Array, valid: jax.Array) -> jax.Array:
    """The least of the errors of each frame's neighbours: (B, 1 or 2, s - 1, ...) -> (B, s, ...)."""
    return jnp.min(neighbours.by_frame(jnp.where(valid, error, jnp.inf), jnp.inf), axis=1)
