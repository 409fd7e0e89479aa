"""The checkpoint of the best evaluation so far, kept beside the newest."""

import json
import math
import pathlib
import sys
from collections.abc import Callable, Mapping

from mtljax.train.config.best_by import BestBy
from mtljax.train.run.checkpoint import BEST, Checkpoints
from mtljax.train.run.workdir import read_json, replace_text, unwritable
from mtljax.train.spread import hosts

BEST_FILE = "best.json"


class Best:
    """Keeps the checkpoint whose figure is best; of equal ones the first, and never one that is not finite.

    What it was held against stands in `best.json` in the workdir, so that a run that goes on keeps to it; where it goes
    on by another figure, it begins anew.

    Args:
        by: the figure.
        workdir: of the run.
        constant: gives the figures of the constant predictor, where they are needed; asked once.
    """

    def __init__(self, by: BestBy, workdir: pathlib.Path, constant: Callable[[], Mapping[str, float]]) -> None:
        self._by, self._file, self._ask = by, workdir / BEST_FILE, constant
        self._constant: Mapping[str, float] | None = None
        self._seen = 0
        self._checkpoints = Checkpoints(workdir / BEST, chosen=lambda: self.step)
        known = read_json(self._file)
        figures = known.get("figures", {}) if known.get("figure") == by.name else {}
        # A figure is noted before its checkpoint is written: of a run that was killed in between, there is none.
        self._figures = {step: figures[str(step)] for step in self._checkpoints.steps if str(step) in figures}

    @property
    def step(self) -> int | None:
        """The step of the best checkpoint; None where there is none yet."""
        sign = 1 if self._by.higher_is_better else -1
        return max(self._figures, key=lambda step: (sign * self._figures[step], -step), default=None)

    def note(self, step: int, figures: Mapping[str, float], save: Callable[[Checkpoints, int], None]) -> None:
        """Keeps the state of a step where its figures are the best.

        Args:
            step: that the figures are of.
            figures: of an evaluation, by `<task>/<metric>`.
            save: saves the state of that step among some checkpoints.

        Raises:
            UserError: where it cannot be written.
        """
        self._seen += 1
        figure, before = self._by.of(figures, self._of_constant()), self.step
        if not math.isfinite(figure) or (before is not None and not self._better(figure, self._figures[before])):
            return
        self._figures = {s: f for s, f in self._figures.items() if s == before} | {step: figure}
        if hosts.first():
            known = {"figure": self._by.name, "figures": self._figures}
            try:
                replace_text(self._file, json.dumps(known) + "\n")
            except OSError as error:
                raise unwritable(self._file.parent, error) from error
        save(self._checkpoints, step)

    def close(self) -> None:
        """Waits for what is being written; says so where no evaluation had a figure."""
        self._checkpoints.close()
        if self._seen and self.step is None and hosts.first():
            print(
                f"warning: keep_best={self._by.name!r} was not finite in any of {self._seen} evaluations: no best "
                "checkpoint is kept.",
                file=sys.stderr,
                flush=True,
            )

    def _better(self, figure: float, than: float) -> bool:
        return figure > than if self._by.higher_is_better else figure < than

    def _of_constant(self) -> Mapping[str, float]:
        if self._constant is None:
            self._constant = self._ask() if self._by.needs_constant else {}
        return self._constant
