"""Figures over seeds: mean, standard error and Student's t interval, from results that are looked up safely."""

import dataclasses
import math
from collections.abc import Mapping

from mtljax.errors import UserError, unknown
from mtljax.report.runs import Results

LEVEL = 0.95  # of intervals, unless told otherwise


@dataclasses.dataclass(frozen=True)
class Summary:
    """A figure over seeds.

    Attributes:
        values: seed -> value, NaN where the run has none.
        mean: of the values; NaN where there is none or any is NaN.
        standard_error: of the mean, with n - 1; None with fewer than two seeds or a NaN.
        interval: Student's t, lower and upper end; None where there is no standard error.
    """

    values: Mapping[int, float]
    mean: float
    standard_error: float | None
    interval: tuple[float, float] | None

    @property
    def n(self) -> int:
        """How many seeds there are."""
        return len(self.values)


def summarise(values: Mapping[int, float], level: float = LEVEL) -> Summary:
    """Mean, standard error and interval of a figure over seeds.

    With three seeds Student's t holds the truth as often as it says; a percentile bootstrap of 95 % holds it in 75 % of
    cases, mean +- standard error in 57 %.

    Args:
        values: seed -> value.
        level: share of cases in which the interval is to hold the truth, of normally distributed values.

    Raises:
        UserError: for a level that is not between 0 and 1.

    Example:
        >>> found = summarise({0: 1.0, 1: 2.0, 2: 3.0})
        >>> found.mean, round(found.standard_error, 4), [round(end, 3) for end in found.interval]
        (2.0, 0.5774, [-0.484, 4.484])
    """
    if not 0 < level < 1:
        raise UserError(f"level {level} of an interval; expected a share between 0 and 1, such as 0.95.")
    values = {seed: values[seed] for seed in sorted(values)}
    mean, error = mean_of(values.values()), standard_error(values.values())
    if error is None:
        return Summary(values, mean, None, None)
    half = error * t_quantile(len(values) - 1, level)
    return Summary(values, mean, error, (mean - half, mean + half))


def intervals(results: Results, metrics: Mapping[str, bool], level: float = LEVEL) -> dict[str, dict[str, Summary]]:
    """Every metric of every method over its seeds, with Student's t intervals.

    Args:
        results: method -> seed -> figures.
        metrics: figure's name, `<task>/<metric>` -> whether higher is better; it says which figures count.
        level: of the intervals.

    Returns:
        Method -> metric -> summary; no interval with one seed.

    Raises:
        UserError: for a metric that no run has, or a level that is not between 0 and 1.

    Example:
        >>> runs = {"equal()": {0: {"depth/AbsRel": 0.25}, 1: {"depth/AbsRel": 0.75}}}
        >>> found = intervals(runs, {"depth/AbsRel": False})["equal()"]["depth/AbsRel"]
        >>> found.mean, found.standard_error, found.n
        (0.5, 0.25, 2)
    """
    check(results, metrics)
    return {
        method: {
            metric: summarise({seed: figure(figures, metric) for seed, figures in seeds.items()}, level)
            for metric in metrics
        }
        for method, seeds in results.items()
    }


def means(results: Results, metrics: Mapping[str, bool]) -> dict[str, dict[str, float]]:
    """Method -> metric -> mean over its seeds; NaN where it has none."""
    return {
        method: {metric: mean_of(figure(figures, metric) for figures in seeds.values()) for metric in metrics}
        for method, seeds in results.items()
    }


def check(results: Results, metrics: Mapping[str, bool], baseline: str | None = None) -> None:
    """Raises `UserError` where a metric or the baseline is among no runs; a metric that some runs lack is NaN there."""
    if not metrics:
        raise UserError("no metric is named; expected one at least, such as {'depth/AbsRel': False}.")
    known = {name for seeds in results.values() for figures in seeds.values() for name in figures}
    for metric in metrics if known else ():
        if metric not in known:
            raise unknown("metric:", metric, known)
    if baseline is not None and baseline not in results:
        raise unknown("baseline:", baseline, results)


def figure(figures: Mapping[str, float], metric: str) -> float:
    """A run's figure; NaN where it is missing or not finite."""
    value = figures.get(metric, math.nan)
    return float(value) if value is not None and math.isfinite(value) else math.nan


def mean_of(values) -> float:
    """The mean, whatever the order; NaN of nothing, or where any is not finite."""
    values = list(values)
    if not values or not all(math.isfinite(value) for value in values):
        return math.nan
    return values[0] if min(values) == max(values) else math.fsum(values) / len(values)


def standard_error(values) -> float | None:
    """Of the mean, with n - 1; None of fewer than two, or where any is not finite."""
    values = list(values)
    mean = mean_of(values)
    if len(values) < 2 or math.isnan(mean):
        return None
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))


def t_quantile(degrees: int, level: float) -> float:
    """How many standard errors a two-sided interval of Student's t reaches to either side."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + level) / 2))
