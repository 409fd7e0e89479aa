"""Mean rank: each metric ranks the methods, whatever its scale."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from mtljax.report.runs import Results
from mtljax.report.statistics.summary import Summary, check, figure, mean_of, means, summarise


@dataclasses.dataclass(frozen=True)
class Rank:
    """A method's mean rank, 1 the best.

    Attributes:
        of_means: of the methods' means over their own seeds; NaN without a seed.
        by_seed: of each seed that all ranked methods have, among them.
    """

    of_means: float
    by_seed: Summary


def mean_rank(results: Results, metrics: Mapping[str, bool], baseline: str | None = None) -> dict[str, Rank]:
    """The mean over metrics of a method's rank among the methods; ties share the mean of their places.

    Args:
        results: method -> seed -> figures.
        metrics: `<task>/<metric>` -> whether higher is better; it says which figures count.
        baseline: a method that is left out; None for none.

    Returns:
        Method -> its ranks, without the baseline. A method without a seed takes no place. A figure of NaN comes last.

    Raises:
        UserError: for an unknown baseline, or a metric that no run has.

    Example:
        >>> runs = {"equal()": {0: {"a/error": 1.0, "b/mIoU": 0.5}}, "famo()": {0: {"a/error": 2.0, "b/mIoU": 0.5}}}
        >>> {method: rank.of_means for method, rank in mean_rank(runs, {"a/error": False, "b/mIoU": True}).items()}
        {'equal()': 1.25, 'famo()': 1.75}
    """
    check(results, metrics, baseline)
    ranked = {method: seeds for method, seeds in results.items() if method != baseline and seeds}
    of_means = _mean_ranks(means(ranked, metrics), metrics)
    shared = set.intersection(*(set(seeds) for seeds in ranked.values())) if ranked else set()
    by_seed = {
        seed: _mean_ranks({method: seeds[seed] for method, seeds in ranked.items()}, metrics) for seed in sorted(shared)
    }
    return {
        method: Rank(
            of_means.get(method, math.nan),
            summarise({seed: ranks[method] for seed, ranks in by_seed.items()} if method in ranked else {}),
        )
        for method in results
        if method != baseline
    }


def _mean_ranks(figures: Mapping[str, Mapping[str, float]], metrics: Mapping[str, bool]) -> dict[str, float]:
    columns = [
        ranks([-figure(own, metric) if up else figure(own, metric) for own in figures.values()])
        for metric, up in metrics.items()
    ]
    return {method: mean_of(places) for method, places in zip(figures, zip(*columns, strict=True), strict=True)}


def ranks(values: Sequence[float]) -> list[float]:
    """The place of each value, 1 the least; ties share the mean of their places; NaN comes last."""
    keys = [math.inf if math.isnan(value) else value for value in values]
    return [sum(k < key for k in keys) + (sum(k == key for k in keys) + 1) / 2 for key in keys]
