"""A linear head on globally pooled features."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.encoders.global_pool import global_pool
from mtljax.models.parts.clips import mean_of_frames


class Linear(nn.Module):
    """One linear layer on globally pooled features: a pyramid, a map or `(B, F)` -> `(B, channels)` float32.

    The frames of a clip are averaged before the layer.

    Attributes:
        channels: of the prediction, such as the number of classes.
        output: function applied to the prediction, over its last axis.
        dtype: of the computation; parameters and prediction are float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> out, _ = Linear(10).init_with_output(jax.random.key(0), (jnp.ones((2, 4, 4, 8)),))
        >>> out.shape
        (2, 10)
    """

    channels: int
    output: Callable[[jax.Array], jax.Array] | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, features: Any, frames: int | None = None) -> jax.Array:
        """Predicts from `features`, in which `frames` frames a clip are folded into the batch."""
        x = nn.Dense(self.channels, dtype=self.dtype)(mean_of_frames(global_pool(features), frames))
        x = x.astype(jnp.float32)
        return x if self.output is None else self.output(x)
