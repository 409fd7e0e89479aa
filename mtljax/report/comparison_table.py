"""The table of a comparison as plain values: what every printed form of it shows."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from mtljax.report.runs import Comparison, Results
from mtljax.report.statistics.delta_table import METRICS, TASKS, delta_m_table, task_of
from mtljax.report.statistics.ranks import mean_rank
from mtljax.report.statistics.summary import Summary, check, intervals, means, summarise

FAILED, UNFINISHED = "†", "‡"
BEST, SECOND = "best", "second"


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of figures.

    Attributes:
        name: `<task>/<metric>`, or what the figure is.
        higher_is_better: its direction.
        cells: method -> its figure over seeds; None where it has none by nature, as the baseline has no rank.
        decimals: how many digits after the point are worth showing.
        places: method -> "best" or "second" by the mean, the baseline left out.
    """

    name: str
    higher_is_better: bool
    cells: Mapping[str, Summary | None]
    decimals: int
    places: Mapping[str, str]

    def shown(self, method: str) -> tuple[str, str]:
        """The mean and its standard error as text; "" for none."""
        cell = self.cells.get(method)
        if cell is None or not cell.n:
            return "", ""
        error = cell.standard_error
        mean = round(cell.mean, self.decimals) + 0.0  # and never -0.00
        return f"{mean:.{self.decimals}f}", "" if error is None else f"{error:.{self.decimals}f}"


@dataclasses.dataclass(frozen=True)
class Table:
    """A row a method.

    Attributes:
        methods: of the rows, in order.
        n: method -> number of whole seeds.
        marks: method -> marks of runs that failed or are not finished; "" for none.
        columns: metrics, delta_m both ways, mean rank, seconds a step.
        notes: what the marks and the table leave out mean, a sentence each.
    """

    methods: Sequence[str]
    n: Mapping[str, int]
    marks: Mapping[str, str]
    columns: Sequence[Column]
    notes: Sequence[str]


def table(comparison: Comparison, metrics: Sequence[str] | None = None) -> Table:
    """The table of a comparison, of the runs that saw all training examples or, where none did, the largest part.

    Args:
        comparison: with its baseline.
        metrics: `<task>/<metric>` of the columns, by which delta_m and mean rank judge too. None: columns of each
            task's primary metric, delta_m and mean rank by all metrics.

    Raises:
        UserError: for an unknown metric or baseline.
    """
    judged = comparison.directions(metrics)
    primary = {metric.name for metric in comparison.metrics if metric.primary}
    shown = {name: up for name, up in judged.items() if metrics is not None or name in primary} or judged
    results, baseline = comparison.results(), comparison.baseline
    check(results, judged, baseline)
    spread = intervals(results, judged)
    columns = [
        column(name, up, {method: own[name] for method, own in spread.items()}, baseline) for name, up in shown.items()
    ]
    columns += _judging(comparison, judged) + _cost(comparison)
    return Table(
        comparison.methods,
        {method: len(results[method]) for method in comparison.methods},
        {method: _mark(comparison, method) for method in comparison.methods},
        columns,
        _notes(comparison, judged),
    )


def column(
    name: str,
    higher_is_better: bool,
    cells: Mapping[str, Summary | None],
    baseline: str | None,
    decimals: int | None = None,
) -> Column:
    """A column, with its best and second; four digits of its greatest figure are shown unless told otherwise."""
    known = {method: cell.mean for method, cell in cells.items() if cell is not None and math.isfinite(cell.mean)}
    if decimals is None:
        greatest = max(map(abs, known.values()), default=0.0)
        decimals = max(0, 3 - math.floor(math.log10(greatest))) if greatest else 4
    ranked = {method: mean for method, mean in known.items() if method != baseline}
    order = sorted(set(ranked.values()), reverse=higher_is_better)
    places = {}
    if len(ranked) > 1:
        best = [method for method, mean in ranked.items() if mean == order[0]]
        second = [method for method, mean in ranked.items() if len(best) == 1 and mean == order[1]]
        places = dict.fromkeys(best, BEST) | dict.fromkeys(second, SECOND)
    return Column(name, higher_is_better, cells, min(decimals, 12), places)


def _judging(comparison: Comparison, judged: Mapping[str, bool]) -> list[Column]:
    """Delta_m over tasks and over metrics, where there is a baseline, and mean rank."""
    results, baseline = comparison.results(), comparison.baseline
    columns = []
    if baseline is not None and results[baseline]:
        weighed = {TASKS: len({task_of(name) for name in judged}), METRICS: len(judged)}
        for over, number in weighed.items():
            cells: dict[str, Summary | None] = dict(delta_m_table(results, judged, baseline, over))
            cells[baseline] = None
            what = over if number > 1 else over.removesuffix("s")
            columns.append(column(f"Δm over {number} {what}, %", False, cells, baseline, 2))
    ranks = {method: rank.of_means for method, rank in mean_rank(results, judged, baseline).items() if results[method]}
    cells = {method: Summary(dict.fromkeys(results[method], mean), mean, None, None) for method, mean in ranks.items()}
    return [*columns, column("mean rank", False, cells, baseline, 2)]


def _cost(comparison: Comparison) -> list[Column]:
    """Seconds a step; of single networks those of all of them together. Nothing where no run noted them."""
    cells = {
        method: summarise({seed: math.fsum(tasks.values()) for seed, tasks in seeds.items()})
        for method, seeds in comparison.recorded("seconds", "step_median").items()
    }
    if all(math.isnan(cell.mean) for cell in cells.values()):
        return []
    return [column("seconds a step", False, cells, comparison.baseline)]


def _mark(comparison: Comparison, method: str) -> str:
    statuses = {run.status for run in comparison.runs if run.method == method and run.share == comparison.whole}
    return (FAILED if statuses & {"failed", "killed"} else "") + (
        UNFINISHED if statuses & {"waiting", "running", "stopped"} else ""
    )


def _notes(comparison: Comparison, judged: Mapping[str, bool]) -> list[str]:
    results, baseline = comparison.results(), comparison.baseline
    notes = ["Mean ± standard error over n seeds."]
    if comparison.whole < 1:
        notes.append(f"Of runs on {comparison.whole:g} of the training examples; none was on all.")
    if baseline is None:
        notes.append("No Δm: there is no baseline.")
    elif not results[baseline]:
        notes.append(f"No Δm: the baseline {baseline} has no whole seed.")
    else:
        notes.append(f"Δm is against the mean of {baseline}: positive is worse.")
        zero = [name for name, mean in means({baseline: results[baseline]}, judged)[baseline].items() if mean == 0]
        if zero:
            notes.append(f"Δm is nan: {', '.join(zero)} of the baseline is 0.")
        notes += _near_zero(results, judged, baseline)
    if baseline is not None:
        notes.append(f"{baseline} is not ranked.")
    lacking = [
        f"{name} of {method}, seed {seed}"
        for method, seeds in results.items()
        for seed, figures in seeds.items()
        for name in judged
        if not math.isfinite(figures.get(name, math.nan))
    ]
    if lacking:
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        notes.append(f"nan: there is no finite {'; '.join(lacking[:3])}{more}.")
    return notes + _of_runs(comparison)


def _near_zero(results: Results, judged: Mapping[str, bool], baseline: str) -> list[str]:
    """A note of figures of the baseline by which delta_m divides though its seeds do not tell them from 0."""
    found = []
    for name, of_seeds in intervals({baseline: results[baseline]}, judged)[baseline].items():
        if of_seeds.interval is not None and of_seeds.mean and of_seeds.interval[0] <= 0 <= of_seeds.interval[1]:
            found.append(f"{name} {of_seeds.mean:.3g} ± {of_seeds.standard_error:.2g}")
    if not found:
        return []
    told = f"Δm divides by figures of {baseline} that are not told from 0, {'; '.join(found)}: differences in these"
    return [f"{told} are any per cent. Name the metrics that are to count, with --metrics."]


def _of_runs(comparison: Comparison) -> list[str]:
    """A note for every run that failed, and one a method for those that are not finished."""
    notes, unfinished = [], dict.fromkeys(comparison.methods, 0)
    for run in comparison.runs:
        what = f"{run.method}, seed {run.seed}" + (f", {run.task} alone" if run.task else "")
        if run.share != comparison.whole or run.method not in unfinished:
            continue
        if run.status in ("failed", "killed"):
            of_step = f"{run.status} at step {run.step}{': ' if run.message else '.'}"  # of what it had kept
            notes.append(f"{FAILED} {what}: {'' if run.message.startswith(run.status) else of_step}{run.message}")
        unfinished[run.method] += run.status in ("waiting", "running", "stopped")
    return notes + [
        f"{UNFINISHED} {method}: {number} {'run is' if number == 1 else 'runs are'} not finished."
        for method, number in unfinished.items()
        if number
    ]
