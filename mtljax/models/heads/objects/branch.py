"""The branch of a head on a shared map: for all cells, or at a few of them for the price of those."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.parts.norm import Norm

_lecun = nn.initializers.lecun_normal()


class Branch(nn.Module):
    """A convolution, normalisation, ReLU and a 1 x 1 convolution.

    The normalisation is over the channels of each cell, so that what a cell gets does not depend on which others are
    asked for: at some cells it gives what the whole map has there. That levels how much there is in a cell, by which
    objects differ from what is behind them; so what finds them is normalised over the map.

    Attributes:
        width: channels in between.
        channels: of the prediction.
        reach: side of the convolution's window, odd.
        scale: of the prediction when training begins; 1 for numbers of about 1.
        bias: of the prediction's channels when training begins, (channels,); 0 by default.
        over_map: normalise groups of channels over the whole map of a frame; then no cells can be asked for.
        dtype: of the computation; parameters and prediction are float32.

    Example:
        >>> x = jnp.ones((2, 4, 6, 8))
        >>> cells = jnp.zeros((2, 5, 2), jnp.int32)
        >>> made = lambda *given: Branch(8, 3).init_with_output(jax.random.key(0), *given)[0]
        >>> jax.eval_shape(made, x).shape, jax.eval_shape(made, x, cells).shape
        ((2, 4, 6, 3), (2, 5, 3))
    """

    width: int
    channels: int
    reach: int = 3
    scale: float = 1.0
    bias: tuple[float, ...] | None = None
    over_map: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, cells: jax.Array | None = None) -> jax.Array:
        """Predicts for a map (N, h, w, C): (N, h, w, channels); or at cells (N, K, 2), (x, y): (N, K, channels)."""
        shape = (self.reach, self.reach, x.shape[-1], self.width)
        kernel = self.param("kernel", _lecun, shape)
        dtype = self.dtype or jnp.result_type(x, kernel)
        x, kernel = x.astype(dtype), kernel.astype(dtype)
        if cells is None:
            y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        else:
            y = patches(x, cells, self.reach) @ kernel.reshape(-1, self.width)
        if self.over_map and cells is not None:
            raise ValueError("Branch(over_map=True) has no prediction at some cells alone.")
        norm = Norm if self.over_map else nn.LayerNorm
        y = nn.relu(norm(dtype=self.dtype, name="norm")(y))
        start = nn.initializers.variance_scaling(self.scale**2, "fan_in", "normal")
        bias = nn.initializers.zeros if self.bias is None else lambda key, shape, dtype: jnp.array(self.bias, dtype)
        y = nn.Dense(self.channels, dtype=self.dtype, kernel_init=start, bias_init=bias, name="predict")(y)
        return y.astype(jnp.float32)


def patches(x: jax.Array, cells: jax.Array, reach: int) -> jax.Array:
    """The windows about cells, with zeros beyond the map.

    Args:
        x: (N, h, w, C).
        cells: (N, K, 2) integers, (x, y), within the map.
        reach: side of a window, odd.

    Returns:
        (N, K, reach * reach * C), by row, column and channel.

    Example:
        >>> print(patches(jnp.arange(6.0).reshape(1, 2, 3, 1), jnp.array([[[2, 0]]]), 3)[0, 0])
        [0. 0. 0. 1. 2. 0. 4. 5. 0.]
    """
    number, _, _, channels = x.shape
    padded = jnp.pad(x, ((0, 0), *[(reach // 2, reach // 2)] * 2, (0, 0)))
    wide = padded.shape[2]
    step = jnp.arange(reach)
    window = (step[:, None] * wide + step).reshape(-1)
    index = (cells[..., 1] * wide + cells[..., 0])[..., None] + window  # (N, K, reach * reach)
    flat = padded.reshape(number, -1, channels)
    found = jnp.take_along_axis(flat, index.reshape(number, -1, 1), axis=1)
    return found.reshape(number, cells.shape[1], -1)
