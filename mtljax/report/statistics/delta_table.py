"""Delta_m of every method and seed against a baseline's mean over seeds."""

from collections.abc import Mapping

from mtljax.delta import delta_m
from mtljax.errors import unknown
from mtljax.report.runs import Results
from mtljax.report.statistics.summary import LEVEL, Summary, check, figure, means, summarise

TASKS, METRICS = "tasks", "metrics"  # what weighs the same in delta_m


def delta_m_table(
    results: Results, metrics: Mapping[str, bool], baseline: str, over: str = TASKS, level: float = LEVEL
) -> dict[str, Summary]:
    """Delta_m in per cent of every method over its seeds. Positive is WORSE than the baseline, negative better.

    Each seed of a method is held against the baseline's mean over all its seeds: see `mtljax.delta_m`. The interval is
    of the method's own seeds alone: see `negative_transfer` for what that leaves out.

    Args:
        results: method -> seed -> figures.
        metrics: `<task>/<metric>` -> whether higher is better; it says which figures count.
        baseline: the method that the others are held against. Its own delta_m is 0 in the mean.
        over: what weighs the same: "tasks" (the mean over tasks of the mean over each one's metrics) or "metrics" (the
            mean over all metrics at once, as Nash-MTL and FAMO print it).
        level: of the intervals.

    Returns:
        Method -> summary. NaN for a run without one of the figures, and for all where a figure of the baseline is 0 in
        the mean, NaN, or not there yet.

    Raises:
        UserError: for an unknown baseline or weighting, or a metric that no run has.

    Example:
        >>> runs = {"single": {0: {"a/error": 1.0}}, "equal()": {0: {"a/error": 1.5}, 1: {"a/error": 1.0}}}
        >>> found = delta_m_table(runs, {"a/error": False}, "single")["equal()"]
        >>> dict(found.values), found.mean, found.standard_error
        ({0: 50.0, 1: 0.0}, 25.0, 25.0)
    """
    check(results, metrics, baseline)
    base = means({baseline: results[baseline]}, metrics)[baseline]
    return {
        method: summarise({seed: delta(figures, base, metrics, over) for seed, figures in seeds.items()}, level)
        for method, seeds in results.items()
    }


def delta(figures: Mapping[str, float], base: Mapping[str, float], metrics: Mapping[str, bool], over: str) -> float:
    """Delta_m of one run's figures."""
    if over not in (TASKS, METRICS):
        raise unknown("weighting of delta_m (over):", over, (TASKS, METRICS))
    groups: dict[str, list[str]] = {}
    for metric in metrics:
        groups.setdefault(task_of(metric) if over == TASKS else metric, []).append(metric)

    def grouped(values: Mapping) -> dict:
        return {group: {metric: values[metric] for metric in members} for group, members in groups.items()}

    return delta_m(grouped({metric: figure(figures, metric) for metric in metrics}), grouped(base), grouped(metrics))


def task_of(metric: str) -> str:
    """The task whose metric it is."""
    return metric.partition("/")[0]
