"""A head for optical flow."""

import itertools
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.heads.motion.frame_pairs import MOTION, FramePair, FramePairs, at_stride, cells_of, pairs_by_clip
from mtljax.models.parts.pyramid import feature_maps, size_of

STRIDES = (4, 8, 16, 32, 64)  # of the estimates that `Flow` gives beside the full-size one


class Flow(nn.Module):
    """Optical flow from each frame to the next, decoded from coarse to fine.

    The features of both frames are compared at strides 2, 4 and 8 (as fine as the encoder's): by a cost volume
    (FlowNetC, Dosovitskiy et al. 2015), its best match, and least squares (Lucas and Kanade 1981). At strides 64, 32,
    ..., 4 convolutions on these, the first frame's features and the coarser level choose between the matches and the
    coarser level's flow by a softmax, and correct the choice.

    Attributes:
        width: channels at every level.
        dtype: of the convolutions; comparisons, parameters and prediction are float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> pyramid = (jnp.ones((4, 16, 16, 8)), jnp.ones((4, 8, 8, 16)))
        >>> head = Flow(width=8)
        >>> out, _ = jax.eval_shape(lambda key: head.init_with_output(key, pyramid, (32, 32), 2), jax.random.key(0))
        >>> out.shape
        (2, 2, 32, 32, 12)
    """

    width: int = 32
    dtype: Any = None
    looks_ahead: ClassVar[bool] = True

    @nn.compact
    def __call__(self, features: Any, size: tuple[int, int] | None = None, frames: int | None = None) -> jax.Array:
        """Predicts `(B, s, H, W, 12)` float32 pixels (x, y) of the full size, `(B, H, W, 12)` without clips.

        First the flow, then the estimates at strides 4, 8, 16, 32 and 64, each upsampled to full size by its nearest
        cell: `[..., ::k, ::k, :]` gives the `ceil(H / k) x ceil(W / k)` estimates at stride k. The last frame of a
        clip and an image alone, which have no next one, have no flow: 0.
        """
        pyramid = feature_maps(features, "Flow takes", MOTION)
        size = size or size_of(pyramid[0])
        pairs = FramePairs(self.width, self.dtype, name="pairs")(pyramid, size, frames or 1)
        estimates, hidden = {}, None
        flow = jnp.zeros((*next(iter(pairs.values())).first.shape[:1], *cells_of(size, STRIDES[-1]), 2))
        for stride in reversed(STRIDES):
            cells = cells_of(size, stride)
            if hidden is not None:
                flow, hidden = (at_stride(x, 2 * stride, stride, cells) for x in (flow, hidden))
            flow, hidden = _Level(self.width, stride, self.dtype, name=f"stride{stride}")(pairs, flow, hidden)
            estimates[stride] = flow
        full = [
            at_stride(flow, STRIDES[0], 1, size),
            *(_nearest(estimates[stride], stride, size) for stride in STRIDES),
        ]
        return pairs_by_clip(jnp.concatenate(full, axis=-1), frames)


class _Level(nn.Module):
    """One step from coarse to fine: flow, and what the next finer level is told."""

    width: int
    stride: int
    dtype: Any

    @nn.compact
    def __call__(
        self, pairs: Mapping[int, FramePair], flow: jax.Array, hidden: jax.Array | None
    ) -> tuple[jax.Array, jax.Array]:
        cells = size_of(flow)
        parts, matches = zip(*(pair.at(k, self.stride, cells) for k, pair in pairs.items()), strict=True)
        x = jnp.concatenate([*parts, flow, *([] if hidden is None else [hidden])], axis=-1)
        for i in (1, 2):
            x = nn.leaky_relu(nn.Conv(self.width, (3, 3), dtype=self.dtype, name=f"conv{i}")(x), 0.1)
        choices = [*itertools.chain(*matches), flow, jnp.zeros_like(flow)]
        zeros = nn.initializers.zeros
        logits = nn.Conv(len(choices), (3, 3), dtype=self.dtype, kernel_init=zeros, name="choose")(x)
        weights = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)
        chosen = sum(weights[..., i : i + 1] * choice for i, choice in enumerate(choices))
        correction = nn.Conv(2, (3, 3), dtype=self.dtype, kernel_init=zeros, name="correct")(x)
        return chosen + correction.astype(jnp.float32), x


def _nearest(x: jax.Array, stride: int, size: tuple[int, int]) -> jax.Array:
    x = jnp.repeat(jnp.repeat(x, stride, axis=1), stride, axis=2)
    return x[:, : size[0], : size[1]]
