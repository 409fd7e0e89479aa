"""Heads on globally pooled features."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.encoders import global_pool


class Linear(nn.Module):
    """One linear layer on globally pooled features: a pyramid, a map or `(B, F)` -> `(B, channels)` float32.

    The frames of a clip are averaged before the layer.

    Attributes:
        channels: of the prediction, such as the number of classes.
        dtype: of the computation; parameters and prediction are float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> out, _ = Linear(10).init_with_output(jax.random.key(0), (jnp.ones((2, 4, 4, 8)),))
        >>> out.shape
        (2, 10)
    """

    channels: int
    dtype: Any = None

    @nn.compact
    def __call__(self, features: Any, frames: int | None = None) -> jax.Array:
        """Predicts from `features`, in which `frames` frames a clip are folded into the batch."""
        return nn.Dense(self.channels, dtype=self.dtype)(_pooled(features, frames)).astype(jnp.float32)


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
        x = _pooled(features, frames)
        for width in self.hidden:
            x = nn.relu(nn.Dense(width, dtype=self.dtype)(x))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.channels, dtype=self.dtype)(x).astype(jnp.float32)


def _pooled(features: Any, frames: int | None) -> jax.Array:
    """Global features, (B, F), averaged over the frames of each clip."""
    pooled = global_pool(features)
    return pooled if frames is None else jnp.mean(pooled.reshape(-1, frames, pooled.shape[-1]), axis=1)
