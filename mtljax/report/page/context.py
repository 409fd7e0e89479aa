"""What all sections of a comparison's page are made of."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from mtljax.errors import unknown
from mtljax.report.comparison_table import FAILED, UNFINISHED, Table, table
from mtljax.report.drawing.charts import styles
from mtljax.report.drawing.figures import Style
from mtljax.report.page.blocks import BAD, Cell
from mtljax.report.reading.curves import Curves
from mtljax.report.runs import Comparison, Run
from mtljax.report.statistics.summary import Summary, summarise

BROKEN = ("failed", "killed")


@dataclasses.dataclass(frozen=True)
class Context:
    """A comparison, and what is chosen of it.

    Attributes:
        comparison: with the methods that are shown alone.
        judged: metric -> whether higher is better, of those that delta_m, ranks and pairs count.
        shown: the names of those that have a curve, and a column without being picked.
        curves: of each run, in their order.
        workdirs: that it was read from.
    """

    comparison: Comparison
    judged: Mapping[str, bool]
    shown: Sequence[str]
    curves: Sequence[Curves]
    workdirs: Sequence[pathlib.Path]

    @functools.cached_property
    def results(self) -> dict[str, dict[int, dict[str, float]]]:
        """Method -> seed -> figures, with all examples (`Comparison.whole`)."""
        return self.comparison.results()

    @functools.cached_property
    def looks(self) -> dict[str, Style]:
        """How each method is drawn."""
        return styles(self.comparison.methods)

    @functools.cached_property
    def tasks(self) -> list[str]:
        """The names of all tasks."""
        return list({metric.task: None for metric in self.comparison.metrics})

    @property
    def baseline(self) -> str | None:
        """The baseline, where any seed of it is done and metrics are known."""
        name = self.comparison.baseline
        return name if name is not None and self.judged and self.results.get(name) else None

    @property
    def against(self) -> list[str]:
        """The methods but the baseline."""
        return [method for method in self.comparison.methods if method != self.comparison.baseline]

    def whole(self, method: str) -> Iterator[tuple[Run, Curves]]:
        """The runs of a method on all examples (`Comparison.whole`), each with its curves."""
        for run, curves in zip(self.comparison.runs, self.curves, strict=True):
            if run.method == method and run.share == self.comparison.whole:
                yield run, curves

    @functools.cached_property
    def table(self) -> Table:
        """The table of the metrics that are shown."""
        return table(self.comparison, None if set(self.judged) - set(self.shown) else self.shown)

    def head(self, method: str) -> Cell:
        """A method at the head of a row, with its marks."""
        marks = self.table.marks[method] if self.judged else ""
        return Cell(f"{method} {marks}".rstrip(), method, BAD if FAILED in marks else "")

    @property
    def notes(self) -> list[str]:
        """What the marks of a table's heads mean."""
        told = {FAILED: f"{FAILED} a run failed or was killed", UNFINISHED: f"{UNFINISHED} a run is not finished"}
        marks = "".join(self.table.marks.values()) if self.judged else ""
        found = "; ".join(words for mark, words in told.items() if mark in marks)
        return [f"{found}: see Runs. Figures are of the seeds that are done."] if found else []

    def seeds(self, method: str) -> Cell:
        """How many seeds are done, of how many that there are."""
        done, there = len(self.results[method]), len({run.seed for run, _ in self.whole(method)})
        broken = any(run.status in BROKEN for run, _ in self.whole(method))
        shown = str(done) if done == there else f"{done} of {there}"
        return Cell(shown, float(done), BAD if broken else "")

    def recorded(self, method: str, get: Callable[[Run], float | None], over: Callable = sum) -> Summary:
        """A figure of the records of a method's done runs over seeds; of single networks, all of a seed together."""
        found: dict[int, list[float | None]] = {}
        for run, _ in self.whole(method):
            if run.status == "done":
                found.setdefault(run.seed, []).append(get(run))
        whole = {seed: values for seed, values in found.items() if seed in self.results[method]}
        known = {seed: [v for v in values if v is not None] for seed, values in whole.items()}
        return summarise({seed: over(values) for seed, values in known.items() if len(values) == len(whole[seed])})


def recorded(run: Run, *keys: str) -> float | None:
    """A number of a run's record, by the names that lead to it; None where it has none."""
    found = run.record
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return float(found) if isinstance(found, int | float) else None


def selected(comparison: Comparison, methods: Sequence[str] | None, baseline: str | None) -> Comparison:
    """A comparison with the wanted methods alone, and the wanted baseline, which is always among them.

    Raises:
        UserError: for a method or baseline that is not there.
    """
    for method in methods or ():
        if method not in comparison.methods:
            raise unknown("method of the comparison:", method, comparison.methods)
    if baseline is not None and baseline not in comparison.methods:
        raise unknown("baseline:", baseline, comparison.methods)
    base = baseline or comparison.baseline
    wanted = comparison.methods if methods is None else [*methods, base]
    shown = [method for method in comparison.methods if method in wanted]
    runs = [run for run in comparison.runs if run.method in shown]
    return dataclasses.replace(comparison, runs=runs, methods=shown, baseline=base)


def metrics_of(comparison: Comparison, names: Sequence[str] | None) -> tuple[dict[str, bool], list[str]]:
    """The metrics that methods are judged by, all or those named, and of these the ones that are shown at first.

    Raises:
        UserError: for a metric that is not there.
    """
    judged = comparison.directions(names)
    primary = [metric.name for metric in comparison.metrics if metric.primary]
    return judged, [name for name in judged if names is not None or name in primary] or list(judged)
