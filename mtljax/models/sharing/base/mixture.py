"""Mixtures of experts, of which each task takes its own share."""

from collections.abc import Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.parts.vectors import as_vectors
from mtljax.models.sharing.base.tasked import Tasked


class Mixture(Tasked):
    """What mixtures share: experts that give vectors. A mixin of Linen modules."""

    expert: Any
    adopted: ClassVar[tuple[str, ...]] = ("expert", "heads")

    def _vectors(self, experts: Sequence[nn.Module], x: jax.Array, train: bool) -> list[jax.Array]:
        found = [self._encoded(expert, x, train) for expert in experts]
        for features in found:
            if getattr(features, "ndim", None) != 2:
                raise ValueError(
                    f"{type(self).__name__} mixes vectors; its expert {type(self.expert).__name__} gives feature maps. "
                    "Experts can be encoders that give vectors: MLP, LeNet or AlexNet(dense=False)."
                )
        return found


def mixed(weights: jax.Array, outputs: Sequence[jax.Array]) -> jax.Array:
    """(B, E) weights of E outputs (B, F)."""
    return jnp.einsum("be,ebf->bf", weights.astype(outputs[0].dtype), jnp.stack(outputs))


class Gate(nn.Module):
    """Shares of `number` experts, from the input: (B, ...) -> (B, number)."""

    number: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Reads the input as one vector an example; `train` changes nothing."""
        logits = nn.Dense(self.number, use_bias=False, name="logits")(as_vectors(x, "Gate"))
        return nn.softmax(logits.astype(jnp.float32))
