"""What is measured beside the training steps, every so many of them: cosines of gradients, affinities of tasks."""

import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from mtljax.train.config.parts import Experiment
from mtljax.train.run.affinity import Means, let_go
from mtljax.train.run.report import cosines_of
from mtljax.train.spread import hosts


class Looks:
    """What the config asks to be measured beside the steps, and the means that are kept of it.

    Args:
        parts: of the run.
        known: what `kept` gave to the checkpoint that the run goes on from, if any.
    """

    def __init__(self, parts: Experiment, known: Any = None) -> None:
        config = parts.config
        self._names = list(parts.tasks)
        self._cosines, self._cosines_every = parts.cosines(), config.cosines_every
        self._affinity, self._affinity_every = parts.affinity(), config.affinity_every
        self._means = None
        if parts.measures_affinity:
            if (said := let_go(known, config.affinity_step)) and hosts.first():
                print(f"warning: {said}", file=sys.stderr, flush=True)
            self._means = Means(self._names, config.affinity_step, config.affinity_every, known)

    def due(self, step: int) -> bool:
        """Whether anything is measured at a step."""
        return self._sees_cosines(step) or self._sees_affinity(step)

    def before(self, step: int, state: Any, batch: Any) -> dict[str, Any]:
        """What is measured before a step, of its state and its batch, beside what the step reports itself."""
        seen: dict[str, Any] = {}
        if self._cosines is not None and self._sees_cosines(step):
            seen |= self._cosines(state, batch)
        if self._affinity is not None and self._sees_affinity(step):
            seen |= self._affinity(state, batch)
        return seen

    def read(self, step: int, report: Mapping[str, Any]) -> dict[str, float]:
        """Adds to the means, and gives the figures of what was measured at a step; once a step.

        Args:
            step: its number.
            report: of it and of what was measured before it, of NumPy arrays.
        """
        figures = cosines_of(self._names, report["cosines"]) if self._sees_cosines(step) else {}
        return figures | (self._means.add(report) if self._means is not None and self._sees_affinity(step) else {})

    def kept(self) -> dict[str, Any]:
        """What a checkpoint is to keep beside the state, by name."""
        return {} if self._means is None else {"affinity": self._means.kept()}

    def write(self, workdir: pathlib.Path, step: int) -> None:
        """Writes the means up to a step into the workdir.

        Raises:
            UserError: where they cannot be written.
        """
        if self._means is not None and hosts.first():
            self._means.write(workdir, step)

    def _sees_cosines(self, step: int) -> bool:
        return self._cosines is not None and step % self._cosines_every == 0

    def _sees_affinity(self, step: int) -> bool:
        return self._means is not None and step % self._affinity_every == 0
