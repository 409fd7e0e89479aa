"""The head of DeepLab."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.parts.norm import Norm
from mtljax.models.parts.pyramid import PIXELS, feature_maps, resized


class ASPP(nn.Module):
    """A prediction for every pixel from the coarsest map alone, by atrous spatial pyramid pooling (Chen et al. 2017).

    Side by side, a 1 x 1 convolution, three of 3 x 3 dilated by `rates`, and the mean over space; together through a
    1 x 1 convolution with dropout, a 3 x 3 and a 1 x 1; upsampled (bilinear) to the image's size. It is the head of
    DeepLab v3, which LibMTL puts on a dilated ResNet: `ResNet(depth=50, dilated=True)`.

    Attributes:
        channels: of the prediction.
        width: channels of each branch.
        rates: of dilation.
        dropout: probability with which a number is dropped in training.
        norm: `batch` (the paper), `group` or `none`.
        axis_name: the mapped axis over which batch statistics are synchronised.
        output: function applied to the prediction, over its last axis.
        dtype: of the computation; parameters and prediction are float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> head, features = ASPP(13, width=8), jnp.ones((2, 4, 6, 16))
        >>> out, _ = jax.eval_shape(lambda key: head.init_with_output(key, features, size=(32, 48)), jax.random.key(0))
        >>> out.shape
        (2, 32, 48, 13)
    """

    channels: int
    width: int = 256
    rates: tuple[int, ...] = (12, 24, 36)
    dropout: float = 0.5
    norm: str = "batch"
    axis_name: str | tuple[str, ...] | None = None
    output: Callable[[jax.Array], jax.Array] | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, features: Any, size: tuple[int, int] | None = None, train: bool = False) -> jax.Array:
        """Predicts `(B, H, W, channels)` float32; `size` = (H, W), by default that of the map."""
        x = feature_maps(features, "ASPP takes", PIXELS)[-1]
        mean = self._layer(x.mean(axis=(1, 2), keepdims=True), 1, 1, "mean", train)
        branches = [self._layer(x, 1, 1, "point", train)]
        branches += [self._layer(x, 3, rate, f"rate{rate}", train) for rate in self.rates]
        branches.append(jnp.broadcast_to(mean, branches[0].shape))
        y = self._layer(jnp.concatenate(branches, axis=-1), 1, 1, "project", train)
        y = nn.Dropout(self.dropout, deterministic=not train)(y)
        y = self._layer(y, 3, 1, "conv", train)
        y = nn.Conv(self.channels, (1, 1), dtype=self.dtype, name="predict")(y).astype(jnp.float32)
        y = resized(y, size or x.shape[1:3])
        return y if self.output is None else self.output(y)

    def _layer(self, x: jax.Array, size: int, rate: int, name: str, train: bool) -> jax.Array:
        pad = size // 2 * rate
        conv = nn.Conv(
            self.width,
            (size, size),
            padding=((pad, pad), (pad, pad)),
            kernel_dilation=rate,
            use_bias=False,
            dtype=self.dtype,
            name=name,
        )
        return nn.relu(Norm(self.norm, self.axis_name, self.dtype, name=f"{name}_norm")(conv(x), train))
