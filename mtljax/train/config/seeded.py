"""Programs that draw by the seed of a run, which is no part of them."""

import dataclasses
import functools
from collections.abc import Callable
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
        placed: puts an array of the host where programs take it on every device, as `Spread.place_state`.
    """

    program: Program
    seed: int
    placed: Callable[[Any], Any] = np.asarray

    def __call__(self, state: Any, batch: Any) -> tuple[Any, Any]:
        """Takes the step."""
        return self.program(state, batch, self.noise)

    @functools.cached_property
    def noise(self) -> Any:
        """The seed of dropout and other noise, an array as programs take it: put there once, and not in every step."""
        return self.placed(noise_of(self.seed))

    def lower(self, state: Any, batch: Any) -> Any:
        """What is to be compiled; the result takes `noise` as a third argument."""
        return self.program.lower(state, batch, self.noise)


def noise_of(seed: int) -> np.ndarray:
    """The seed of dropout and other noise of a run, an array as programs take it."""
    return np.array(streams.seed_of(seed, streams.DROPOUT), np.int32)
