"""A multi-layer perceptron."""

from typing import Any

import flax.linen as nn
import jax

from mtljax.models.encoders.staged import Outputs, Staged, previous
from mtljax.models.parts.vectors import as_vectors


class MLP(Staged):
    """A multi-layer perceptron for feature vectors: `(B, F) -> (B, widths[-1])`, ReLU after every layer.

    Of a tree of arrays of floats, it takes all of them side by side.

    Its stages are `layer1`, `layer2`, ...

    Attributes:
        widths: of the layers.
        dtype: of the computation; parameters are float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> out, _ = MLP((16, 8)).init_with_output(jax.random.key(0), jnp.ones((2, 5)))
        >>> out.shape
        (2, 8)
    """

    widths: tuple[int, ...] = (256, 256)
    dtype: Any = None

    @property
    def stages(self) -> tuple[str, ...]:
        """One for each layer."""
        return tuple(f"layer{i + 1}" for i in range(len(self.widths)))

    @nn.compact
    def stage(self, name: str, x: jax.Array, before: Outputs, train: bool) -> jax.Array:
        """One layer; axes of the input after the first are flattened."""
        i = self.stages.index(name)
        x = previous(as_vectors(x, type(self).__name__), before)
        return nn.relu(nn.Dense(self.widths[i], dtype=self.dtype, name=f"Dense_{i}")(x))

    def features(self, outputs: Outputs) -> jax.Array:
        """The last layer's output."""
        return outputs[self.stages[-1]]
