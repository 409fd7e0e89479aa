"""A head that predicts something for every pixel."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.parts.norm import Norm
from mtljax.models.parts.pyramid import PIXELS, feature_maps, resized, top_down


class Dense(nn.Module):
    """A prediction for every pixel, decoded from a feature pyramid (or one map) from coarse to fine.

    Each level passes a 1 x 1 convolution; levels are added from coarse to fine with bilinear upsampling (a feature
    pyramid network, Lin et al. 2017); a 3 x 3 convolution and a 1 x 1 give the prediction at the finest level,
    upsampled to the image's size.

    Attributes:
        channels: of the prediction.
        width: channels of the decoder.
        output: function applied to the prediction, over its last axis (`jax.nn.softplus` for depth, say).
        dtype: of the computation; parameters and prediction are float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> pyramid = (jnp.ones((2, 8, 8, 16)), jnp.ones((2, 4, 4, 32)))
        >>> head = Dense(3, width=8)
        >>> out, _ = jax.eval_shape(lambda key: head.init_with_output(key, pyramid, size=(32, 32)), jax.random.key(0))
        >>> out.shape
        (2, 32, 32, 3)
    """

    channels: int
    width: int = 64
    output: Callable[[jax.Array], jax.Array] | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, features: Any, size: tuple[int, int] | None = None) -> jax.Array:
        """Predicts `(B, H, W, channels)` float32; `size` = (H, W), by default that of the finest map."""
        pyramid = feature_maps(features, "Dense takes", PIXELS)
        x = top_down(pyramid, self.width, self.dtype)[-1]
        x = nn.relu(Norm(dtype=self.dtype, name="norm1")(x))
        x = nn.Conv(self.width, (3, 3), use_bias=False, dtype=self.dtype, name="conv")(x)
        x = nn.relu(Norm(dtype=self.dtype, name="norm2")(x))
        x = nn.Conv(self.channels, (1, 1), dtype=self.dtype, name="predict")(x).astype(jnp.float32)
        x = resized(x, size or x.shape[1:3])
        return x if self.output is None else self.output(x)
