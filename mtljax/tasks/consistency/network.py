"""A network from a label to other labels, trained before, through which predictions are looked at."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax


@dataclasses.dataclass(frozen=True)
class LabelNetwork:
    """A network that was trained from a label (`config.input`), as its workdir tells of it.

    Attributes:
        workdir: of its run.
        label: that it takes for an image; '' where it takes images.
        predicts: names of its tasks.
        model: the Flax module, as `MultiTask`.
        find_shapes: gives the shapes of its variables.
    """

    workdir: str
    label: str
    predicts: tuple[str, ...]
    model: Any
    find_shapes: Callable[[], Mapping[str, Any]] = dataclasses.field(compare=False)

    @functools.cached_property
    def shapes(self) -> Mapping[str, Any]:
        """The shapes of its variables."""
        return self.find_shapes()

    def apply(self, variables: Any, label: jax.Array, camera: Any, task: str) -> Any:
        """What it predicts of one of its tasks from a label, (B, s, H, W, C) float32."""
        return self.model.apply(variables, label, camera=camera, tasks=[task])[task]


Finder = Callable[[str], LabelNetwork]
