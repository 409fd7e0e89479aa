"""Networks for each task, joined after chosen stages."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax

from mtljax.models.encoders import Staged
from mtljax.models.sharing.base.tasked import Tasked


class Joined(Tasked):
    """Networks of one shape that run side by side, stage by stage. A mixin of Linen modules.

    A subclass gives `join`, and one of `networks` for each task.
    """

    encoder: Any
    stages: Sequence[str] | None
    networks: Mapping[str, Any]
    own_parts: ClassVar[Mapping[str, int]] = {"heads": 0, "networks": 0}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stages(self, self.encoder)
        if isinstance(self.stages, str):
            raise ValueError(f"{type(self).__name__}(stages={self.stages!r}): expected a tuple of names.")
        for stage in self.stages or ():
            if stage not in self.encoder.stages:
                raise ValueError(
                    f"{type(self).__name__}(stages=...): {type(self.encoder).__name__} has no stage {stage!r}; "
                    f"it has {', '.join(self.encoder.stages)}."
                )

    @property
    def joined_after(self) -> tuple[str, ...]:
        """The stages after which networks are joined."""
        return self.encoder.stages if self.stages is None else tuple(self.stages)

    def join(self, stage: str, inputs: Sequence[jax.Array], train: bool) -> Sequence[jax.Array]:
        """What becomes of one stage's outputs of all networks."""
        raise NotImplementedError

    def _side_by_side(self, x: jax.Array, train: bool) -> dict[str, dict[str, jax.Array]]:
        """The outputs of all stages of each task's network, as they are after joining."""
        outputs: dict[str, dict[str, jax.Array]] = {task: {} for task in self.heads}
        for stage in self.encoder.stages:
            found: Sequence[jax.Array] = [
                self._staged(self.networks[task], stage, x, outputs[task], train) for task in self.heads
            ]
            if stage in self.joined_after:
                found = self.join(stage, found, train)
            for task, value in zip(self.heads, found, strict=True):
                outputs[task][stage] = value
        return outputs


def check_stages(model: Tasked, encoder: Any) -> None:
    """Raises `TypeError` where a model's encoder has no stages."""
    if not isinstance(encoder, Staged):
        raise TypeError(
            f"{type(model).__name__} joins networks between their stages; expected an encoder with stages "
            f"(AlexNet, LeNet, MLP, ResNet, UNet, ViT), not {type(encoder).__name__}."
        )
