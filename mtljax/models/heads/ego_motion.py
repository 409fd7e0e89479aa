"""A head for the camera's own motion."""

import itertools
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax import geometry
from mtljax.errors import UserError
from mtljax.models.heads.motion.alignment import aligned
from mtljax.models.heads.motion.frame_pairs import MOTION, FramePair, FramePairs, at_stride, cells_of, pairs_by_clip
from mtljax.models.parts.pyramid import feature_maps, size_of

_STRIDE = 4
_NEAREST = 0.1  # metres, of the depths of a parent
_STEPS = 2  # of alignment, at every stride
_SPREAD = 8.0  # of the logarithms of weights and inverse depths


class EgoMotion(nn.Module):
    """The camera's motion from each frame to the next: metres, then axis-angle in radians.

    The features of both frames are compared as in `Flow`. At stride 4, or 8 where the features are no finer,
    convolutions choose between the matches by a softmax and correct the choice, and tell how far each cell is to be
    trusted and its inverse depth, if the task has no parent that predicts depth. The first motion is the one whose
    flow is nearest to that (`mtljax.geometry.motion_from_flow`). From there, with those depths and weights, two steps
    of Gauss and Newton at each stride, coarse to fine, make the second frame's features look like the first's.

    Attributes:
        width: channels.
        focal: in image widths, of cameras that are not given; the principal point is then the image's centre.
        typical_depth: metres, with which training begins where no parent predicts depth.
        dtype: of the convolutions; comparisons, parameters and prediction are float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> pyramid = (jnp.ones((4, 16, 16, 8)), jnp.ones((4, 8, 8, 16)))
        >>> head = EgoMotion(width=8)
        >>> out, _ = jax.eval_shape(lambda key: head.init_with_output(key, pyramid, (32, 32), 2), jax.random.key(0))
        >>> out.shape
        (2, 2, 6)
    """

    width: int = 64
    focal: float = 1.0
    typical_depth: float = 1.0
    dtype: Any = None
    looks_ahead: ClassVar[bool] = True

    @nn.compact
    def __call__(
        self,
        features: Any,
        size: tuple[int, int] | None = None,
        frames: int | None = None,
        camera: Mapping[str, jax.Array] | None = None,
        parents: Mapping[str, jax.Array] | None = None,
    ) -> jax.Array:
        """Predicts `(B, s, 6)` float32, `(B, 6)` without clips; a frame with no next one has no motion: 0.

        Args:
            features: maps (B s, h, w, C).
            size: (H, W) of the images.
            frames: s of a clip.
            camera: with `intrinsics` (B, 3, 3).
            parents: none, or a prediction of depth, (B, s, H, W, 1 or more) metres, the first of which is taken and
                gets no gradient: a motion is found for a depth, and not a depth for a motion. Of several parents it is
                the one named `depth`.

        Raises:
            UserError: for several parents none of which is named so.
        """
        pyramid = feature_maps(features, "EgoMotion takes", MOTION)
        size = size or size_of(pyramid[0])
        pairs = FramePairs(32, self.dtype, name="pairs")(pyramid, size, frames or 1)
        stride = max(_STRIDE, min(pairs))
        cells = cells_of(size, stride)
        flow, weight, inverse_depth = self._said(pairs, stride, cells)
        if parents:
            inverse_depth = at_stride(_inverse_depth(_depth_of(parents)), 1, stride, cells)
        intrinsics = self._intrinsics(len(flow), size, camera)
        motion = self._from_flow(flow, weight, inverse_depth, intrinsics, stride)
        for finer in sorted(pairs, reverse=True):
            trust, depth = (at_stride(x, stride, finer, cells_of(size, finer)) for x in (weight, inverse_depth))
            motion = self._aligned(motion, pairs[finer], trust, depth, intrinsics, finer)
        return pairs_by_clip(motion, frames)

    def _said(
        self, pairs: Mapping[int, FramePair], stride: int, cells: tuple[int, int]
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Flow in pixels (N, h, w, 2), its weight and inverse depth (N, h, w, 1)."""
        parts, found = zip(*(pair.at(k, stride, cells) for k, pair in pairs.items()), strict=True)
        where = jnp.broadcast_to(2 * geometry.pixel_grid(*cells) / jnp.array(cells[::-1]) - 1, (*parts[0].shape[:3], 2))
        x = jnp.concatenate([*parts, where], axis=-1)
        for i in (1, 2):
            x = nn.leaky_relu(nn.Conv(self.width, (3, 3), dtype=self.dtype, name=f"conv{i}")(x), 0.1)
        matches = list(itertools.chain(*found))
        zeros = nn.initializers.zeros
        said = nn.Conv(len(matches) + 4, (3, 3), dtype=self.dtype, kernel_init=zeros, name="say")(x)
        correction, weight, inverse_depth, choice = jnp.split(said.astype(jnp.float32), (2, 3, 4), axis=-1)
        chosen = jax.nn.softmax(choice, axis=-1)
        flow = correction + sum(chosen[..., i : i + 1] * match for i, match in enumerate(matches))
        weight, inverse_depth = (jnp.exp(_SPREAD * jnp.tanh(x / _SPREAD)) for x in (weight, inverse_depth))
        return flow, weight, inverse_depth / self.typical_depth

    def _from_flow(
        self, flow: jax.Array, weight: jax.Array, inverse_depth: jax.Array, intrinsics: jax.Array, stride: int
    ) -> jax.Array:
        tolerance = jnp.exp(self.param("tolerance", _logarithms(1.0), ()))  # pixels
        focal, centre = jnp.diagonal(intrinsics[:, None, :2, :2], axis1=-2, axis2=-1), intrinsics[:, None, :2, 2]
        places = (stride * geometry.pixel_grid(flow.shape[1], flow.shape[2]).reshape(-1, 2) - centre) / focal
        flow, weight, inverse_depth = (x.reshape(len(x), -1, x.shape[-1]) for x in (flow, weight, inverse_depth))
        damping = self._damping("damping", inverse_depth)
        weight, inverse_depth = weight[..., 0], inverse_depth[..., 0]
        return geometry.motion_from_flow(
            flow / focal, places, inverse_depth, weight, damping, tolerance / focal[..., 0]
        )

    def _aligned(
        self,
        motion: jax.Array,
        pair: FramePair,
        weight: jax.Array,
        inverse_depth: jax.Array,
        intrinsics: jax.Array,
        stride: int,
    ) -> jax.Array:
        tolerance = jnp.exp(self.param(f"tolerance{stride}", _logarithms(0.3), ()))
        damping = self._damping(f"damping{stride}", inverse_depth)
        intrinsics = intrinsics / jnp.array([stride, stride, 1.0])[:, None]

        def step(motion: jax.Array, _: None) -> tuple[jax.Array, None]:
            args = (pair.first, pair.second, weight, inverse_depth, intrinsics, damping, tolerance)
            return aligned(motion, *args), None

        # A loop: written out, each step takes some hundred functions to compile.
        return jax.lax.scan(step, motion, length=_STEPS)[0]

    def _damping(self, name: str, inverse_depth: jax.Array) -> jax.Array:
        """(N, 6), in the units of the motion field's squares.

        It begins without a preference: a shift of the whole image may come from a turn or from a translation.
        """
        moved, turned = jnp.exp(self.param(name, _logarithms(1e-3, 1e-3), (2,)))
        near = jnp.mean(inverse_depth.reshape(len(inverse_depth), -1) ** 2, axis=-1, keepdims=True)
        return jnp.concatenate([jnp.repeat(moved * near, 3, axis=-1), jnp.full((len(near), 3), turned)], axis=-1)

    def _intrinsics(self, number: int, size: tuple[int, int], camera: Mapping[str, jax.Array] | None) -> jax.Array:
        """(number, 3, 3), in pixels."""
        if camera is None:
            focal = self.focal * size[1]
            found = jnp.array([[[focal, 0, size[1] / 2], [0, focal, size[0] / 2], [0, 0, 1]]], jnp.float32)
        else:
            found = jnp.asarray(camera["intrinsics"], jnp.float32)
        return jnp.repeat(found, number // len(found), axis=0)


def _depth_of(parents: Mapping[str, jax.Array]) -> jax.Array:
    """What the only parent predicts, or the one named `depth`."""
    if len(parents) == 1:
        return next(iter(parents.values()))
    if "depth" not in parents:
        raise UserError(f"EgoMotion takes one depth, not all of {', '.join(parents)}; expected a parent as 'depth'.")
    return parents["depth"]


def _inverse_depth(depth: jax.Array) -> jax.Array:
    """Of each clip's frames but the last, or of its only one: (N, H, W, 1)."""
    inverse = 1 / jnp.maximum(jax.lax.stop_gradient(depth[..., :1]).astype(jnp.float32), _NEAREST)
    clips = inverse if inverse.ndim == 5 else inverse[:, None]
    return clips[:, : max(1, clips.shape[1] - 1)].reshape(-1, *inverse.shape[-3:])


def _logarithms(*values: float) -> Any:
    return lambda key, shape: jnp.log(jnp.array(values)).reshape(shape)
