"""Fully connected layers on globally pooled features."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.encoders.global_pool import global_pool
from mtljax.models.parts.clips import mean_of_frames


class Classifier(nn.Module):
    """Fully connected layers on globally pooled features: a pyramid, a map or `(B, F)` -> `(B, channels)` float32.

    The frames of a clip are averaged before the first layer.

    Attributes:
        channels: of the prediction, such as the number of classes.
        hidden: widths of the layers before the last, each followed by ReLU and dropout.
        dropout: probability with which a hidden unit is dropped in training.
        dtype: of the computation; parameters and prediction are float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> out, _ = Classifier(10, hidden=(50,)).init_with_output(jax.random.key(0), jnp.ones((2, 8)))
        >>> out.shape
        (2, 10)
    """

    channels: int
    hidden: tuple[int, ...] = (50,)
    dropout: float = 0.5
    dtype: Any = None

    @nn.compact
    def __call__(self, features: Any, frames: int | None = None, train: bool = False) -> jax.Array:
        """Predicts from `features`, in which `frames` frames a clip are folded into the batch."""
        x = mean_of_frames(global_pool(features), frames)
        for width in self.hidden:
            x = nn.relu(nn.Dense(width, dtype=self.dtype)(x))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.channels, dtype=self.dtype)(x).astype(jnp.float32)
