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
    return list(before.values())[-1] if before else x
