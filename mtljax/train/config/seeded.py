"""Programs that draw by the seed of a run, which is no part of them."""

import dataclasses
import functools
from typing import Any

import numpy as np

from mtljax.train.spread.program import Program
from mtljax.train.step import streams


@dataclasses.dataclass(frozen=True)
class TrainStep:
    """A training step, `(state, batch) -> (state, report)`, of one seed.

    Attributes:
        program: what is called, `(state, batch, seed of the noise) -> (state, report)`; one for all seeds.
        seed: of the run.
    """

    program: Program
    seed: int

    def __call__(self, state: Any, batch: Any) -> tuple[Any, Any]:
        """Takes the step."""
        return self.program(state, batch, self.noise)

    @functools.cached_property
    def noise(self) -> np.ndarray:
        """The seed of dropout and other noise, an array as programs take it."""
        return noise_of(self.seed)

    def lower(self, state: Any, batch: Any) -> Any:
        """What is to be compiled; the result takes `noise` as a third argument."""
        return self.program.lower(state, batch, self.noise)


def noise_of(seed: int) -> np.ndarray:
    """The seed of dropout and other noise of a run, an array as programs take it."""
    return np.array(streams.seed_of(seed, streams.DROPOUT), np.int32)
