"""The small convolutional network of MultiMNIST."""

from typing import Any

import flax.linen as nn
import jax

from mtljax.models.encoders.staged import Outputs, Staged, previous


class LeNet(Staged):
    """The small convolutional network of MultiMNIST: `(B, 28, 28, C)` -> `(B, width)`.

    Convolutions of 10 and 20 channels, 5 x 5 without padding, each max-pooled by 2; the second's channels are dropped
    whole; one fully connected layer. ReLU after each (Sener and Koltun, NeurIPS 2018, after LeCun et al. 1998). Its
    stages are `conv1`, `conv2` and `fc`.

    Attributes:
        width: of the last layer.
        dropout: probability with which a channel is dropped in training.
        dtype: of the computation; parameters are float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> out, _ = jax.eval_shape(LeNet().init_with_output, jax.random.key(0), jnp.ones((2, 28, 28, 1)))
        >>> out.shape
        (2, 50)
    """

    width: int = 50
    dropout: float = 0.5
    dtype: Any = None

    @property
    def stages(self) -> tuple[str, ...]:
        """Two convolutions and a fully connected layer."""
        return ("conv1", "conv2", "fc")

    @nn.compact
    def stage(self, name: str, x: jax.Array, before: Outputs, train: bool) -> jax.Array:
        """One layer."""
        self._check_images(x)
        x = previous(x, before)
        if name == "fc":
            return nn.relu(nn.Dense(self.width, dtype=self.dtype, name="Dense_0")(x.reshape(x.shape[0], -1)))
        i, channels, dropout = {"conv1": (0, 10, 0.0), "conv2": (1, 20, self.dropout)}[name]
        x = nn.Conv(channels, (5, 5), padding="VALID", dtype=self.dtype, name=f"Conv_{i}")(x)
        x = nn.Dropout(dropout, broadcast_dims=(1, 2), deterministic=not train, name=f"Dropout_{i}")(x)
        return nn.relu(nn.max_pool(x, (2, 2), (2, 2)))

    def features(self, outputs: Outputs) -> jax.Array:
        """The last layer's output."""
        return outputs["fc"]
