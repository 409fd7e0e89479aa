"""Heads for motion between the frames of a clip: optical flow, and the camera's own motion."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.heads.matching import best_match, correlation, least_squares_shift
from mtljax.models.layers import Norm

STRIDES = (4, 8, 16, 32, 64)  # of the estimates that `Flow` gives beside the full-size one
_MATCHED = (2, 4, 8)  # strides at which frames are compared
_RADIUS, _WINDOWS = 4, (3, 5)


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

    @nn.compact
    def __call__(self, features: Any, size: tuple[int, int] | None = None, frames: int | None = None) -> jax.Array:
        """Predicts `(B, s, H, W, 12)` float32 pixels (x, y) of the full size, `(B, H, W, 12)` without clips.

        First the flow, then the estimates at strides 4, 8, 16, 32 and 64, each upsampled to full size by its nearest
        cell: `[..., ::k, ::k, :]` gives the `ceil(H / k) x ceil(W / k)` estimates at stride k. The last frame of a
        clip and an image alone, which have no next one, have no flow: 0.
        """
        pyramid = _maps(features, "Flow")
        size = size or pyramid[0].shape[1:3]
        pairs = _Pairs(self.width, self.dtype, name="pairs")(pyramid, size, frames or 1)
        estimates, hidden = {}, None
        flow = jnp.zeros((*next(iter(pairs.values())).first.shape[:1], *_cells(size, STRIDES[-1]), 2))
        for stride in reversed(STRIDES):
            cells = _cells(size, stride)
            if hidden is not None:
                flow, hidden = (_at_stride(x, 2 * stride, stride, cells) for x in (flow, hidden))
            flow, hidden = _Level(self.width, stride, self.dtype, name=f"stride{stride}")(pairs, flow, hidden)
            estimates[stride] = flow
        full = [
            _at_stride(flow, STRIDES[0], 1, size),
            *(_nearest(estimates[stride], stride, size) for stride in STRIDES),
        ]
        return _by_clip(jnp.concatenate(full, axis=-1), frames)


class EgoMotion(nn.Module):
    """The camera's motion from each frame to the next: metres, then axis-angle in radians.

    The features of both frames are compared at strides 2, 4 and 8 as in `Flow`; at stride 8 convolutions, with the
    features of both and the places of the cells, and means over parts of the image lead to six numbers. As in
    Monodepth2 (Godard et al. 2019) they are multiplied by a small number, so that training begins near a still camera.

    Attributes:
        width: channels.
        scale: of the six numbers.
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
    scale: float = 0.05
    dtype: Any = None

    @nn.compact
    def __call__(self, features: Any, size: tuple[int, int] | None = None, frames: int | None = None) -> jax.Array:
        """Predicts `(B, s, 6)` float32, `(B, 6)` without clips; a frame with no next one has no motion: 0."""
        pyramid = _maps(features, "EgoMotion")
        size = size or pyramid[0].shape[1:3]
        pairs = _Pairs(32, self.dtype, name="pairs")(pyramid, size, frames or 1)
        cells = _cells(size, _MATCHED[-1])
        parts = [part for k, pair in pairs.items() for part in pair.at(k, _MATCHED[-1], cells)]
        x = jnp.concatenate([*parts, _places(parts[0])], axis=-1)
        for i in (1, 2):
            x = nn.Conv(self.width, (3, 3), use_bias=False, dtype=self.dtype, name=f"conv{i}")(x)
            x = nn.relu(Norm(dtype=self.dtype, name=f"norm{i}")(x))
        x = jax.image.resize(x, (x.shape[0], *(min(4, n) for n in cells), x.shape[-1]), "linear")
        x = nn.relu(nn.Dense(2 * self.width, dtype=self.dtype, name="hidden")(x.reshape(x.shape[0], -1)))
        motion = nn.Dense(6, dtype=self.dtype, name="predict")(x).astype(jnp.float32)
        return _by_clip(self.scale * motion, frames)


class _Pair(NamedTuple):
    """Two frames at one stride: features of the first, and what their comparison tells.

    Attributes:
        first: (N, h, w, C) features of the first frame.
        volume: (N, h, w, (2 r + 1)^2) cosines.
        flows: each (N, h, w, 2), in pixels.
    """

    first: jax.Array
    volume: jax.Array
    flows: Sequence[jax.Array]

    def at(self, stride: int, wanted: int, cells: tuple[int, int]) -> list[jax.Array]:
        """All of it, which is at one stride, at another."""
        parts = (self.first, self.volume, *self.flows)
        return [_at_stride(x.astype(jnp.float32), stride, wanted, cells) for x in parts]


class _Pairs(nn.Module):
    """Each frame compared with the next, at all strides that the features have."""

    width: int
    dtype: Any

    @nn.compact
    def __call__(self, pyramid: Sequence[jax.Array], size: tuple[int, int], frames: int) -> dict[int, _Pair]:
        found = {}
        for stride in _MATCHED:
            cells = _cells(size, stride)
            if stride != _MATCHED[-1] and pyramid[0].shape[1] < cells[0]:
                continue
            x = nn.Conv(self.width, (1, 1), use_bias=False, dtype=self.dtype, name=f"lateral{stride}")(
                _nearest_level(pyramid, cells)
            )
            first, second = _frames_and_next(Norm(dtype=self.dtype, name=f"norm{stride}")(x), frames)
            found[stride] = self._compared(first, second, stride)
        return found

    def _compared(self, first: jax.Array, second: jax.Array, stride: int) -> _Pair:
        sharpness = self.param(f"sharpness{stride}", nn.initializers.constant(10.0), ())
        damping = self.param(f"damping{stride}", nn.initializers.constant(-4.0), ())
        mean = jnp.mean(first + second, axis=(1, 2), keepdims=True) / 2
        centred = first - mean, second - mean
        volume = correlation(*centred, _RADIUS)
        pooled = nn.avg_pool(volume, (3, 3), (1, 1), "SAME", count_include_pad=False)
        shifts = [best_match(pooled, sharpness)]
        shifts += [least_squares_shift(*centred, window, jnp.exp(damping)) for window in _WINDOWS]
        return _Pair(first, volume, [stride * shift for shift in shifts])


class _Level(nn.Module):
    """One step from coarse to fine: flow, and what the next finer level is told."""

    width: int
    stride: int
    dtype: Any

    @nn.compact
    def __call__(
        self, pairs: Mapping[int, _Pair], flow: jax.Array, hidden: jax.Array | None
    ) -> tuple[jax.Array, jax.Array]:
        cells = flow.shape[1:3]
        parts = [part for k, pair in pairs.items() for part in pair.at(k, self.stride, cells)]
        x = jnp.concatenate([*parts, flow, *([] if hidden is None else [hidden])], axis=-1)
        for i in (1, 2):
            x = nn.leaky_relu(nn.Conv(self.width, (3, 3), dtype=self.dtype, name=f"conv{i}")(x), 0.1)
        choices = [_at_stride(match, k, self.stride, cells) for k, pair in pairs.items() for match in pair.flows]
        choices += [flow, jnp.zeros_like(flow)]
        zeros = nn.initializers.zeros
        logits = nn.Conv(len(choices), (3, 3), dtype=self.dtype, kernel_init=zeros, name="choose")(x)
        weights = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)
        chosen = sum(weights[..., i : i + 1] * choice for i, choice in enumerate(choices))
        correction = nn.Conv(2, (3, 3), dtype=self.dtype, kernel_init=zeros, name="correct")(x)
        return chosen + correction.astype(jnp.float32), x


def _maps(features: Any, name: str) -> Sequence[jax.Array]:
    pyramid = tuple(features) if isinstance(features, tuple | list) else (features,)
    if any(level.ndim != 4 for level in pyramid):
        raise ValueError(
            f"{name} takes feature maps (B, h, w, C), not shapes {[level.shape for level in pyramid]}: "
            "motion wants an image encoder such as ResNet."
        )
    return pyramid


def _cells(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Height and width in cells of a stride; those at the far edges may reach beyond the image."""
    return -(-size[0] // stride), -(-size[1] // stride)


def _nearest_level(pyramid: Sequence[jax.Array], cells: tuple[int, int]) -> jax.Array:
    """The coarsest level that is as fine as wanted, else the finest one, at the wanted size."""
    fine = [level for level in pyramid if level.shape[1] >= cells[0] and level.shape[2] >= cells[1]]
    return _resized(fine[-1] if fine else pyramid[0], cells)


def _resized(x: jax.Array, cells: tuple[int, int]) -> jax.Array:
    """Means where it shrinks, linear interpolation where it grows."""
    if x.shape[1:3] == tuple(cells):
        return x
    return jax.image.resize(x, (x.shape[0], *cells, x.shape[-1]), "linear")


def _at_stride(x: jax.Array, stride: int, wanted: int, cells: tuple[int, int]) -> jax.Array:
    """A map of one stride at another that is a power of 2 away, in place also where cells reach beyond the image."""
    if wanted > stride:
        whole = [n * (wanted // stride) for n in cells]
        edges = [(0, n - length) for n, length in zip(whole, x.shape[1:3], strict=True)]
        return _resized(jnp.pad(x, [(0, 0), *edges, (0, 0)], mode="edge"), cells)
    finer = stride // wanted
    return _resized(x, (finer * x.shape[1], finer * x.shape[2]))[:, : cells[0], : cells[1]]


def _nearest(x: jax.Array, stride: int, size: tuple[int, int]) -> jax.Array:
    x = jnp.repeat(jnp.repeat(x, stride, axis=1), stride, axis=2)
    return x[:, : size[0], : size[1]]


def _frames_and_next(x: jax.Array, frames: int) -> tuple[jax.Array, jax.Array]:
    """Each frame of a clip but the last, and the next one, folded into the batch; one frame with itself."""
    clips = x.reshape(-1, frames, *x.shape[1:])
    pair = (clips, clips) if frames == 1 else (clips[:, :-1], clips[:, 1:])
    return tuple(part.reshape(-1, *x.shape[1:]) for part in pair)


def _by_clip(x: jax.Array, frames: int | None) -> jax.Array:
    """Predictions for pairs of frames as clips, with zeros for the last frame, or the only one."""
    if frames is None:
        return jnp.zeros_like(x)
    clips = x.reshape(-1, max(1, frames - 1), *x.shape[1:])[:, : frames - 1]
    return jnp.pad(clips, [(0, 0), (0, frames - clips.shape[1])] + [(0, 0)] * (x.ndim - 1))


def _places(like: jax.Array) -> jax.Array:
    """(N, h, w, 2): where each cell is, from -1 to 1."""
    height, width = like.shape[1:3]
    place = jnp.stack(jnp.meshgrid(jnp.linspace(-1, 1, width), jnp.linspace(-1, 1, height)), axis=-1)
    return jnp.broadcast_to(place, (like.shape[0], height, width, 2))
