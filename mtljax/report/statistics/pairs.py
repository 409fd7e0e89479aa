"""Method against method over the seeds that both have, and each task against its own network."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

from mtljax.errors import unknown
from mtljax.report.runs import Results
from mtljax.report.statistics.delta_table import TASKS, delta, task_of
from mtljax.report.statistics.summary import LEVEL, Summary, check, means, summarise

NEGATIVE, POSITIVE, NOT_SHOWN = "negative transfer", "positive transfer", "no difference shown"
METHOD, BOTH = "method", "both"  # whose spread over seeds is in an interval
_MOST_FLIPPED = 20  # seeds whose 2^n sign flips are all gone through


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two methods over the seeds that both have.

    Attributes:
        first: a method.
        second: the other.
        difference: delta_m of the first less the second's, per cent, a seed at a time: above 0 the first is worse.
        t: of the paired t test; None with fewer than two seeds, a NaN, or where no seed differs from another.
        p: two-sided, of t; None where there is no t. 1 where the two are the same in every seed.
        holm_p: p, corrected for the number of pairs (Holm); None where there is no p.
        sign_flip_p: two-sided, over all 2^n flips of the differences' signs; None without a seed, with a NaN, or with
            more than 20 seeds.
        better: share of the seeds in which the first is better, ties half; None without a seed or with a NaN.
        probability_of_improvement: that the first with any of those seeds is better than the second with any, ties
            half; None likewise.
        note: what the number of seeds does not allow; "" for nothing.
    """

    first: str
    second: str
    difference: Summary
    t: float | None
    p: float | None
    holm_p: float | None
    sign_flip_p: float | None
    better: float | None
    probability_of_improvement: float | None
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Transfer:
    """A task, trained with others, against the baseline: its own network.

    Attributes:
        worse_by: the worsening in per cent, a seed at a time.
        verdict: "negative transfer" where the interval is above 0, "positive transfer" where it is below, else "no
            difference shown", which is all that one seed can say.
    """

    worse_by: Summary
    verdict: str


def paired(
    results: Results, metrics: Mapping[str, bool], baseline: str, over: str = TASKS, level: float = LEVEL
) -> list[Pair]:
    """Every two methods, without the baseline, compared in delta_m over the seeds that both have.

    Args:
        results: method -> seed -> figures.
        metrics: `<task>/<metric>` -> whether higher is better; it says which figures count.
        baseline: what delta_m is against, its mean over all its seeds.
        over: what weighs the same in delta_m: "tasks" or "metrics".
        level: of the intervals.

    Returns:
        A pair for every two methods, in the order of the results.

    Raises:
        UserError: for an unknown baseline or weighting, or a metric that no run has.

    Example:
        >>> error = {"single": [1.0, 1.0], "equal()": [1.25, 1.75], "famo()": [1.0, 1.25]}
        >>> runs = {method: {i: {"a/error": x} for i, x in enumerate(xs)} for method, xs in error.items()}
        >>> (pair,) = paired(runs, {"a/error": False}, "single")
        >>> pair.first, pair.difference.mean, round(pair.p, 3), pair.sign_flip_p, pair.better
        ('equal()', 37.5, 0.205, 0.5, 0.0)
    """
    check(results, metrics, baseline)
    base = means({baseline: results[baseline]}, metrics)[baseline]
    found = {
        method: {seed: delta(figures, base, metrics, over) for seed, figures in seeds.items()}
        for method, seeds in results.items()
        if method != baseline
    }
    pairs = [_pair(a, found[a], b, found[b], level) for a, b in itertools.combinations(found, 2)]
    return [dataclasses.replace(pair, holm_p=p) for pair, p in zip(pairs, holm([q.p for q in pairs]), strict=True)]


def negative_transfer(
    results: Results, metrics: Mapping[str, bool], baseline: str, level: float = LEVEL, spread: str = METHOD
) -> dict[str, dict[str, Transfer]]:
    """How much worse each task is than with its own network, and whether the seeds show it.

    With the method's spread alone the baseline's mean is taken for the truth, as delta_m takes it; where both spread
    alike, an interval of 95 % then holds the true difference in 91 % of cases with 3 seeds each, 88 % with 5, 85 % with
    10. With that of both it holds it in 95 %.

    Args:
        results: method -> seed -> figures.
        metrics: `<task>/<metric>` -> whether higher is better. A task's worsening is the mean over its metrics.
        baseline: the single networks. The worsening is in per cent of their mean over seeds.
        level: of the intervals.
        spread: whose spread over seeds the interval has in it: "method", or "both": each seed of the method is then
            held against the same seed of the baseline, over the seeds that both have.

    Returns:
        Method, without the baseline -> task -> transfer.

    Raises:
        UserError: for an unknown baseline or spread, or a metric that no run has.

    Example:
        >>> error = {"single": [1.0, 1.0, 1.0], "equal()": [1.25, 1.5, 1.75]}
        >>> runs = {method: {i: {"a/error": x} for i, x in enumerate(xs)} for method, xs in error.items()}
        >>> found = negative_transfer(runs, {"a/error": False}, "single")["equal()"]["a"]
        >>> found.worse_by.mean, found.verdict
        (50.0, 'no difference shown')
    """
    check(results, metrics, baseline)
    tasks: dict[str, dict[str, bool]] = {}
    for metric, up in metrics.items():
        tasks.setdefault(task_of(metric), {})[metric] = up
    return {
        method: {
            task: _transfer(against(results, own, baseline, method, TASKS, level, spread))
            for task, own in tasks.items()
        }
        for method in results
        if method != baseline
    }


def against(
    results: Results,
    metrics: Mapping[str, bool],
    baseline: str,
    method: str,
    over: str = TASKS,
    level: float = LEVEL,
    spread: str = BOTH,
) -> Summary:
    """Delta_m of a method over its seeds, with its own spread in the interval or the baseline's too."""
    if spread not in (METHOD, BOTH):
        raise unknown("spread of an interval:", spread, (METHOD, BOTH))
    base = means({baseline: results[baseline]}, metrics)[baseline]
    ours, alone = (
        {seed: delta(figures, base, metrics, over) for seed, figures in results[name].items()}
        for name in (method, baseline)
    )
    return _difference(ours, alone, level) if spread == BOTH else summarise(ours, level)


def _transfer(worse_by: Summary) -> Transfer:
    low, high = worse_by.interval or (-math.inf, math.inf)
    return Transfer(worse_by, NEGATIVE if low > 0 else POSITIVE if high < 0 else NOT_SHOWN)


def _difference(a: Mapping[int, float], b: Mapping[int, float], level: float) -> Summary:
    return summarise({seed: a[seed] - b[seed] for seed in a.keys() & b.keys()}, level)


def _pair(first: str, a: Mapping[int, float], second: str, b: Mapping[int, float], level: float) -> Pair:
    difference = _difference(a, b, level)
    values = list(difference.values.values())
    t, p = _t_test(difference)
    known = not math.isnan(difference.mean)
    return Pair(
        first,
        second,
        difference,
        t,
        p,
        None,
        sign_flip_p(values) if known else None,
        _share_below_zero(values) if known else None,
        _share_below_zero([a[i] - b[j] for i in difference.values for j in difference.values]) if known else None,
        _note(difference),
    )


def _t_test(difference: Summary) -> tuple[float | None, float | None]:
    from scipy.special import stdtr

    if difference.standard_error is None:
        return None, None
    if difference.standard_error == 0:
        return None, 1.0 if difference.mean == 0 else None
    t = difference.mean / difference.standard_error
    return t, float(2 * stdtr(difference.n - 1, -abs(t)))


def _note(difference: Summary) -> str:
    n = difference.n
    if n == 0:
        return "no seed in common"
    if math.isnan(difference.mean):
        return "a figure is missing or not finite"
    if n == 1:
        return "one seed in common shows nothing"
    if difference.standard_error == 0 and difference.mean != 0:
        return "the same difference in every seed: no spread to test against"
    if n < 6:
        return f"{n} seeds: sign flips cannot give p below {2 / 2**n:g}, so not below 0.05"
    return f"{n} seeds: too many for all sign flips" if n > _MOST_FLIPPED else ""


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's correction of p values for their number, those of None left out.

    Example:
        >>> holm([0.25, 0.0625, None])
        [0.25, 0.125, None]
    """
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    least = 0.0
    for done, (p, i) in enumerate(known):
        least = max(least, min(1.0, (len(known) - done) * p))
        corrected[i] = least
    return corrected


def sign_flip_p(differences: Sequence[float]) -> float | None:
    """Share of all 2^n flips of signs whose sum is as far from 0 as that of the differences; None with over 20.

    Example:
        >>> sign_flip_p([1.0, 2.0, 3.0])
        0.25
    """
    import numpy as np

    if len(differences) > _MOST_FLIPPED:
        return None
    sums = np.zeros(1)
    for value in differences:
        sums = np.concatenate([sums + value, sums - value])
    room = 1e-12 * math.fsum(map(abs, differences))  # Sums of the same numbers in another order count as equal.
    return float(np.mean(np.abs(sums) >= abs(sums[0]) - room))


def _share_below_zero(differences: Sequence[float]) -> float:
    return sum(1.0 if d < 0 else 0.5 if d == 0 else 0.0 for d in differences) / len(differences)
