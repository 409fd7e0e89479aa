"""What a report is made of: runs, each with its figures, and the metrics that they are judged by."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from mtljax.errors import unknown

SINGLE = "single"  # in place of a method: a network of its own for every task

Figures = Mapping[str, float]  # "<task>/<metric>" -> value
Results = Mapping[str, Mapping[int, Figures]]  # method -> seed -> figures, of whole runs alone


@dataclasses.dataclass(frozen=True)
class Metric:
    """What a task is judged by.

    Attributes:
        name: as in figures, `<task>/<metric>`.
        higher_is_better: its direction.
        primary: whether it is the one that its task is judged by where one must do.
    """

    name: str
    higher_is_better: bool
    primary: bool = False

    @property
    def task(self) -> str:
        """The task's name."""
        return self.name.partition("/")[0]


@dataclasses.dataclass(frozen=True)
class Run:
    """One training run of a comparison.

    Attributes:
        method: value of the key that varies, or `single`.
        seed: of the run.
        task: the task that a single network is of; None where all are trained together.
        share: of the training examples that it saw.
        status: waiting, running, done, stopped (it goes on), failed or killed.
        message: why it failed, one line.
        step: the last that was taken.
        figures: on the validation split at the end, NaN where they are not finite; none where it is not done.
        record: what the run noted of itself, as `run.json` has it; empty where there is none.
        folder: its workdir.
    """

    method: str
    seed: int
    task: str | None = None
    share: float = 1.0
    status: str = "done"
    message: str = ""
    step: int = 0
    figures: Figures = dataclasses.field(default_factory=dict)
    record: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    folder: pathlib.Path | None = None

    def recorded(self, group: str, key: str) -> float:
        """A number of the run's record, such as `seconds`, `step_median`; NaN where it is not there or not finite."""
        values = self.record.get(group)
        value = values.get(key) if isinstance(values, Mapping) else None
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else math.nan


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Runs that are compared.

    Attributes:
        metrics: of all tasks, in the order of their columns.
        runs: of all methods, seeds, tasks and shares.
        methods: in the order of the rows.
        baseline: the method that the others are held against; None for none.
        vary: the config's key or keys that methods are values of.
    """

    metrics: Sequence[Metric]
    runs: Sequence[Run]
    methods: Sequence[str]
    baseline: str | None = SINGLE
    vary: str = "balance"

    def directions(self, names: Sequence[str] | None = None) -> dict[str, bool]:
        """Metric -> whether higher is better, as the figures of a comparison take it.

        Args:
            names: of the metrics that are wanted; None for all.

        Raises:
            UserError: for a name that no metric has.
        """
        known = {metric.name: metric.higher_is_better for metric in self.metrics}
        for name in names or ():
            if name not in known:
                raise unknown("metric:", name, known)
        return known if names is None else {name: up for name, up in known.items() if name in names}

    @property
    def whole(self) -> float:
        """The share of the training examples that tables are of: all of them or, where no run has all, the largest."""
        return max((run.share for run in self.runs), default=1.0)

    def results(self, share: float | None = None) -> dict[str, dict[int, dict[str, float]]]:
        """Method -> seed -> figures, of what is done: networks of single tasks count where all of a seed's are.

        Args:
            share: of the training examples; None for `whole`.
        """
        share = self.whole if share is None else share
        tasks = {metric.task for metric in self.metrics}
        found: dict[str, dict[int, dict[str, float]]] = {method: {} for method in self.methods}
        covered: dict[tuple[str, int], set[str]] = {}
        for run in self.runs:
            if run.status == "done" and run.share == share and run.method in found:
                found[run.method].setdefault(run.seed, {}).update(run.figures)
                covered.setdefault((run.method, run.seed), set()).update(tasks if run.task is None else {run.task})
        return {
            method: {seed: figures for seed, figures in seeds.items() if covered[method, seed] >= tasks}
            for method, seeds in found.items()
        }

    def recorded(
        self, group: str, key: str, share: float | None = None
    ) -> dict[str, dict[int, dict[str | None, float]]]:
        """Method -> seed -> task (None: all in one) -> a number that the run noted of itself; seeds as in `results`.

        Args:
            group: of the record, such as `seconds`.
            key: in it, such as `step_median`.
            share: of the training examples; None for `whole`.

        Returns:
            NaN where a run did not note it.
        """
        share = self.whole if share is None else share
        whole = self.results(share)
        found: dict[str, dict[int, dict[str | None, float]]] = {m: {s: {} for s in seeds} for m, seeds in whole.items()}
        for run in self.runs:
            if run.status == "done" and run.share == share and run.seed in found.get(run.method, {}):
                found[run.method][run.seed][run.task] = run.recorded(group, key)
        return found
