"""What an encoder is that others can look into: a chain of named stages."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax

Outputs = Mapping[str, jax.Array]


class Staged(nn.Module):
    """An encoder made of named stages, so that networks can be joined between them.

    A subclass gives `stages`, `stage` (its compact method) and `features`.
    """

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of the stages, in order."""
        raise NotImplementedError

    def stage(self, name: str, x: jax.Array, before: Outputs, train: bool) -> jax.Array:
        """The output of a stage, from the encoder's input `x` and the outputs of the stages before it."""
        raise NotImplementedError

    def features(self, outputs: Outputs) -> Any:
        """What the encoder gives, from the outputs of all stages."""
        raise NotImplementedError

    def __call__(self, x: jax.Array, train: bool = False) -> Any:
        """Encodes a batch: all stages in order, and the features from their outputs."""
        outputs: dict[str, jax.Array] = {}
        for name in self.stages:
            outputs[name] = self.stage(name, x, outputs, train)
        return self.features(outputs)

    def _check_images(self, x: jax.Array) -> None:
        if x.ndim != 4:
            raise ValueError(f"{type(self).__name__} takes images (B, H, W, C), not an array of shape {x.shape}.")


def previous(x: jax.Array, before: Outputs) -> jax.Array:
    """The output of the last stage so far; `x` where there is none."""
    return next(reversed(before.values())) if before else x


def global_pool(features: Any) -> jax.Array:
    """The coarsest map, averaged over space: a pyramid or `(B, h, w, C)` -> `(B, C)`; vectors as they are.

    Example:
        >>> import jax.numpy as jnp
        >>> global_pool((jnp.ones((2, 8, 8, 3)), jnp.ones((2, 4, 4, 5)))).shape
        (2, 5)
    """
    x = features[-1] if isinstance(features, tuple | list) else features
    return x if x.ndim == 2 else x.mean(axis=tuple(range(1, x.ndim - 1)))
