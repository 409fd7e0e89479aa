"""Each frame of a clip compared with the next, at several strides: what heads for motion begin with."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.heads.motion.matching import best_match, correlation, least_squares_shifts
from mtljax.models.parts.norm import Norm
from mtljax.models.parts.pyramid import resized

MOTION = "motion wants an image encoder such as ResNet"  # what heads say where there are no maps
MATCHED = (2, 4, 8)  # strides at which frames are compared
_RADIUS, _WINDOWS = 4, (3, 5)


class FramePair(NamedTuple):
    """Two frames at one stride: features of the first, and what their comparison tells.

    Attributes:
        first: (N, h, w, C) features of the first frame.
        second: those of the second.
        volume: (N, h, w, (2 r + 1)^2) cosines.
        flows: each (N, h, w, 2), in pixels.
    """

    first: jax.Array
    second: jax.Array
    volume: jax.Array
    flows: Sequence[jax.Array]

    def at(self, stride: int, wanted: int, cells: tuple[int, int]) -> tuple[jax.Array, list[jax.Array]]:
        """The first frame and the comparisons, which are at one stride, at another: as one map, and its flows apart."""
        parts = (self.first, self.volume, *self.flows)
        # One map: each that is resized by itself takes XLA some hundred operations to compile.
        whole = at_stride(jnp.concatenate([x.astype(jnp.float32) for x in parts], axis=-1), stride, wanted, cells)
        flows = whole[..., -2 * len(self.flows) :]
        return whole, jnp.split(flows, len(self.flows), axis=-1)


class FramePairs(nn.Module):
    """Each frame compared with the next, at all strides that the features have."""

    width: int
    dtype: Any

    @nn.compact
    def __call__(self, pyramid: Sequence[jax.Array], size: tuple[int, int], frames: int) -> dict[int, FramePair]:
        """By stride: the N pairs of clips of so many frames; of a frame and itself where clips have one."""
        found = {}
        for stride in MATCHED:
            cells = cells_of(size, stride)
            if stride != MATCHED[-1] and pyramid[0].shape[1] < cells[0]:
                continue
            x = nn.Conv(self.width, (1, 1), use_bias=False, dtype=self.dtype, name=f"lateral{stride}")(
                _nearest_level(pyramid, cells)
            )
            first, second = _frames_and_next(Norm(dtype=self.dtype, name=f"norm{stride}")(x), frames)
            found[stride] = self._compared(first, second, stride)
        return found

    def _compared(self, first: jax.Array, second: jax.Array, stride: int) -> FramePair:
        sharpness = self.param(f"sharpness{stride}", nn.initializers.constant(10.0), ())
        damping = self.param(f"damping{stride}", nn.initializers.constant(-4.0), ())
        mean = jnp.mean(first + second, axis=(1, 2), keepdims=True) / 2
        centred = first - mean, second - mean
        volume = correlation(*centred, _RADIUS)
        pooled = nn.avg_pool(volume, (3, 3), (1, 1), "SAME", count_include_pad=False)
        shifts = [best_match(pooled, sharpness)]
        shifts += least_squares_shifts(*centred, _WINDOWS, jnp.exp(damping))
        return FramePair(*centred, volume, [stride * shift for shift in shifts])


def cells_of(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Height and width in cells of a stride; those at the far edges may reach beyond the image."""
    return -(-size[0] // stride), -(-size[1] // stride)


def _nearest_level(pyramid: Sequence[jax.Array], cells: tuple[int, int]) -> jax.Array:
    """The coarsest level that is as fine as wanted, else the finest one, at the wanted size."""
    fine = [level for level in pyramid if level.shape[1] >= cells[0] and level.shape[2] >= cells[1]]
    return resized(fine[-1] if fine else pyramid[0], cells)


def at_stride(x: jax.Array, stride: int, wanted: int, cells: tuple[int, int]) -> jax.Array:
    """A map of one stride at another that is a power of 2 away, in place also where cells reach beyond the image."""
    if wanted > stride:
        whole = [n * (wanted // stride) for n in cells]
        edges = [(0, n - length) for n, length in zip(whole, x.shape[1:3], strict=True)]
        return resized(jnp.pad(x, [(0, 0), *edges, (0, 0)], mode="edge"), cells)
    finer = stride // wanted
    return resized(x, (finer * x.shape[1], finer * x.shape[2]))[:, : cells[0], : cells[1]]


def _frames_and_next(x: jax.Array, frames: int) -> tuple[jax.Array, jax.Array]:
    """Each frame of a clip but the last, and the next one, folded into the batch; one frame with itself."""
    clips = x.reshape(-1, frames, *x.shape[1:])
    first, second = (clips, clips) if frames == 1 else (clips[:, :-1], clips[:, 1:])
    return first.reshape(-1, *x.shape[1:]), second.reshape(-1, *x.shape[1:])


def pairs_by_clip(x: jax.Array, frames: int | None) -> jax.Array:
    """Predictions for pairs of frames as clips, with zeros for the last frame, or the only one."""
    if frames is None:
        return jnp.zeros_like(x)
    clips = x.reshape(-1, max(1, frames - 1), *x.shape[1:])[:, : frames - 1]
    return jnp.pad(clips, [(0, 0), (0, frames - clips.shape[1])] + [(0, 0)] * (x.ndim - 1))
