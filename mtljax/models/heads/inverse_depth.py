"""Heads for depth."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.parts.norm import Norm
from mtljax.models.parts.pyramid import PIXELS, feature_maps, resized, size_of, top_down

_NARROWEST = 8  # channels


class InverseDepth(nn.Module):
    """Depth at several scales, decoded from a feature pyramid (or one map) as inverse depth.

    As in Monodepth2 (Godard et al. 2019), inverse depth is 1/far + (1/near - 1/far) sigmoid(x), predicted at 1, 1/2,
    ..., 1/2^(scales - 1) of the image's size and upsampled to all of it. Levels are added from coarse to fine, each
    after a 1 x 1 convolution, and a 3 x 3 convolution follows each; beyond the encoder's finest level the size is
    doubled, and the channels halved, until it is the image's.

    Attributes:
        scales: S.
        near: metres, the least depth.
        far: metres, the largest.
        ground: x begins with what grows from -ground at the top to ground at the bottom of the image. Motions across
            the view look the same in a world turned inside out, near for far, under a motion that goes the other way
            (bas-relief); a positive number starts on the side of scenes with a ground.
        width: channels at the encoder's levels.
        dtype: of the computation; parameters and prediction are float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> pyramid = (jnp.ones((2, 8, 8, 16)), jnp.ones((2, 4, 4, 32)))
        >>> head = InverseDepth(scales=3, width=8)
        >>> out, _ = jax.eval_shape(lambda key: head.init_with_output(key, pyramid, size=(32, 32)), jax.random.key(0))
        >>> out.shape
        (2, 32, 32, 3)
    """

    scales: int = 4
    near: float = 0.1
    far: float = 100.0
    ground: float = 0.0
    width: int = 64
    dtype: Any = None

    @nn.compact
    def __call__(self, features: Any, size: tuple[int, int] | None = None) -> jax.Array:
        """Predicts `(B, H, W, scales)` float32 metres, the finest scale first; `size` = (H, W)."""
        pyramid = feature_maps(features, "InverseDepth takes", PIXELS)
        size = size or size_of(pyramid[0])
        decoded = self._decoded(pyramid, size)
        low, high = 1 / self.far, 1 / self.near
        depths = []
        for scale in range(self.scales):
            there = [x for x in decoded if x.shape[1] <= -(-size[0] // 2**scale)]
            x = there[-1] if there else decoded[0]
            x = nn.Conv(1, (3, 3), dtype=self.dtype, name=f"predict{scale}")(x).astype(jnp.float32)
            x += self.ground * jnp.linspace(-1.0, 1.0, x.shape[1])[:, None, None]
            depths.append(1 / (low + (high - low) * resized(nn.sigmoid(x), size)))
        return jnp.concatenate(depths, axis=-1)

    def _decoded(self, pyramid: Sequence[jax.Array], size: tuple[int, int]) -> list[jax.Array]:
        """Maps from coarse to fine, the last at least as fine as the image."""
        maps = top_down(pyramid, self.width, self.dtype, lambda x, i: self._refined(x, self.width, f"level{i}"))
        width, step = self.width, 0
        while maps[-1].shape[1] < size[0]:
            width, step = max(width // 2, min(width, _NARROWEST)), step + 1
            height, across = maps[-1].shape[1:3]
            x = resized(maps[-1], (min(2 * height, size[0]), min(2 * across, size[1])))
            maps.append(self._refined(x, width, f"finer{step}"))
        return maps

    def _refined(self, x: jax.Array, width: int, name: str) -> jax.Array:
        x = nn.Conv(width, (3, 3), use_bias=False, dtype=self.dtype, name=f"{name}_conv")(x)
        return nn.relu(Norm(dtype=self.dtype, name=f"{name}_norm")(x))
