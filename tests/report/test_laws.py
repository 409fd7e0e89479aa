"""What must hold of figures over seeds whatever the runs, and what is said where there is no figure."""

import dataclasses
import math

import numpy as np
import pytest

from mtljax import report
from mtljax.errors import UserError
from mtljax.report.statistics.pairs import sign_flip_p

UP = {"a/mIoU": True, "a/accuracy": True, "b/error": False}
RNG = np.random.default_rng(0)
METHODS = ("single", "equal()", "famo()", "pcgrad()")
RUNS = {m: {s: dict(zip(UP, map(float, RNG.uniform(0.5, 1.5, 3)), strict=True)) for s in range(4)} for m in METHODS}


def figures(runs, metrics=UP, baseline="single"):
    """All figures of a comparison, as plain values, by what they are of: nothing of the order is left."""
    return {
        **{over: report.delta_m_table(runs, metrics, baseline, over) for over in ("tasks", "metrics")},
        "rank": report.mean_rank(runs, metrics, baseline),
        "transfer": report.negative_transfer(runs, metrics, baseline),
        "both": report.negative_transfer(runs, metrics, baseline, spread="both"),
        "pairs": {frozenset((p.first, p.second)): _pair(p) for p in report.paired(runs, metrics, baseline)},
        "intervals": report.intervals(runs, metrics),
    }


def _pair(pair):
    """A pair's figures, whichever of the two is the first."""
    sign = 1 if pair.first < pair.second else -1
    share, chance = ((x if sign > 0 else 1 - x) for x in (pair.better, pair.probability_of_improvement))
    ends = sorted(sign * end for end in pair.difference.interval)
    return [sign * pair.difference.mean, *ends, sign * pair.t, pair.p, pair.holm_p, pair.sign_flip_p, share, chance]


def assert_same(a, b):
    """Two trees of figures are equal to rounding."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, str) or a is None:
        assert a == b
    elif dataclasses.is_dataclass(a):
        assert_same(dataclasses.asdict(a), dataclasses.asdict(b))
    else:
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_the_order_of_methods_seeds_and_metrics_does_not_matter():
    turned = {m: {s: dict(reversed(RUNS[m][s].items())) for s in reversed(range(4))} for m in reversed(METHODS)}
    assert_same(figures(turned, dict(reversed(UP.items()))), figures(RUNS))
    assert list(report.delta_m_table(turned, UP, "single")["equal()"].values) == [0, 1, 2, 3]


def test_the_scale_of_a_metric_does_not_matter():
    scaled = {m: {s: own | {"b/error": 1000 * own["b/error"]} for s, own in seeds.items()} for m, seeds in RUNS.items()}
    ours, plain = figures(scaled), figures(RUNS)
    assert_same(
        {k: v for k, v in ours.items() if k != "intervals"}, {k: v for k, v in plain.items() if k != "intervals"}
    )


def test_a_rising_map_of_a_metric_leaves_ranks():
    mapped = {
        m: {s: own | {"b/error": math.exp(3 * own["b/error"])} for s, own in seeds.items()} for m, seeds in RUNS.items()
    }
    ours, plain = (report.mean_rank(runs, UP, "single") for runs in (mapped, RUNS))
    assert {m: rank.by_seed for m, rank in ours.items()} == {m: rank.by_seed for m, rank in plain.items()}
    one = [{m: {0: seeds[0]} for m, seeds in runs.items()} for runs in (mapped, RUNS)]
    assert report.mean_rank(one[0], UP, "single") == report.mean_rank(one[1], UP, "single")


def test_a_method_against_itself_is_zero():
    runs = RUNS | {"again": RUNS["equal()"], "single again": RUNS["single"]}
    (pair,) = [p for p in report.paired(runs, UP, "single") if {p.first, p.second} == {"equal()", "again"}]
    assert (pair.difference.mean, pair.difference.interval, pair.p, pair.sign_flip_p) == (0, (0, 0), 1, 1)
    assert (pair.t, pair.better, pair.probability_of_improvement) == (None, 0.5, 0.5)
    for transfer in report.negative_transfer(runs, UP, "single", spread="both")["single again"].values():
        assert (transfer.worse_by.mean, transfer.worse_by.interval) == (0, (0, 0))
        assert transfer.verdict == "no difference shown"


def test_one_seed_has_no_error_and_shows_nothing():
    runs = {m: {0: seeds[0]} for m, seeds in RUNS.items()}
    found = report.delta_m_table(runs, UP, "single")["equal()"]
    assert (found.n, found.standard_error, found.interval) == (1, None, None)
    assert math.isfinite(found.mean)
    pair = report.paired(runs, UP, "single")[0]
    assert (pair.t, pair.p, pair.holm_p, pair.note) == (None, None, None, "one seed in common shows nothing")
    assert report.negative_transfer(runs, UP, "single")["equal()"]["a"].verdict == "no difference shown"


def test_pairs_are_of_the_seeds_that_both_have():
    runs = RUNS | {"famo()": {s: RUNS["famo()"][s] for s in (1, 3)}, "pcgrad()": {7: RUNS["pcgrad()"][0]}}
    found = {(p.first, p.second): p for p in report.paired(runs, UP, "single")}
    assert list(found["equal()", "famo()"].difference.values) == [1, 3]
    assert found["famo()", "pcgrad()"].note == "no seed in common"
    assert math.isnan(found["famo()", "pcgrad()"].difference.mean)
    deltas = report.delta_m_table(runs, UP, "single")
    assert [deltas[m].n for m in METHODS] == [4, 4, 2, 1]
    assert report.mean_rank(runs, UP, "single")["famo()"].by_seed.n == 0  # no seed has all methods


def test_a_figure_that_is_missing_or_not_finite_is_never_a_good_one():
    for value in ({"b/error": math.nan}, {"b/error": math.inf}, {"b/error": -math.inf}, None):
        broken = {k: v for k, v in RUNS["famo()"][2].items() if k != "b/error"} | (value or {})
        runs = RUNS | {"famo()": RUNS["famo()"] | {2: broken}}
        found = report.delta_m_table(runs, UP, "single")["famo()"]
        assert math.isnan(found.mean)
        assert (found.n, found.standard_error, found.interval) == (4, None, None)
        assert math.isnan(report.intervals(runs, UP)["famo()"]["b/error"].mean)
        rank = report.mean_rank(runs, {"b/error": False}, "single")["famo()"]
        assert rank.of_means == rank.by_seed.values[2] == 3
        assert report.negative_transfer(runs, UP, "single")["famo()"]["b"].verdict == "no difference shown"
        pair = next(p for p in report.paired(runs, UP, "single") if p.first == "famo()")
        assert (pair.p, pair.sign_flip_p, pair.better) == (None, None, None)
        assert pair.note == "a figure is missing or not finite"


def test_a_baseline_of_zero_or_without_seeds_gives_no_figure():
    zero = RUNS | {"single": {s: own | {"b/error": 0.0} for s, own in RUNS["single"].items()}}
    assert math.isnan(report.delta_m_table(zero, UP, "single")["equal()"].mean)
    assert math.isnan(report.delta_m_table(RUNS | {"single": {}}, UP, "single")["equal()"].mean)
    assert report.mean_rank(RUNS | {"famo()": {}}, UP, "single")["equal()"].by_seed.n == 4
    assert math.isnan(report.mean_rank(RUNS | {"famo()": {}}, UP, "single")["famo()"].of_means)


def test_the_same_difference_in_every_seed_has_no_test():
    error = {"single": [1.0, 1.0], "equal()": [1.5, 1.5], "famo()": [1.0, 1.0]}
    runs = {m: {s: {"b/error": x} for s, x in enumerate(values)} for m, values in error.items()}
    (pair,) = report.paired(runs, {"b/error": False}, "single")
    assert (pair.difference.mean, pair.t, pair.p) == (50, None, None)
    assert pair.note == "the same difference in every seed: no spread to test against"


def test_holm_and_sign_flips_of_many_seeds():
    runs = {m: {s: {"b/error": float(x)} for s, x in enumerate(RNG.uniform(1, 2, 21))} for m in ("single", "x", "y")}
    (pair,) = report.paired(runs, {"b/error": False}, "single")
    assert (pair.sign_flip_p, pair.note) == (None, "21 seeds: too many for all sign flips")
    assert pair.holm_p == pair.p
    assert sign_flip_p([0.1 + 0.2, -0.3, 0.4]) == 0.75  # equal but for rounding: 0.4 twice, 1.0, 0.2


def test_an_interval_holds_the_truth_as_often_as_it_says():
    draws = np.random.default_rng(1).normal(size=(2000, 3))
    held = [
        low <= 0 <= high for low, high in (report.summarise(dict(enumerate(map(float, x)))).interval for x in draws)
    ]
    assert 0.94 < np.mean(held) < 0.96


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: report.delta_m_table(RUNS, UP, "Single"), "unknown baseline: 'Single'; did you mean 'single'?"),
        (lambda: report.mean_rank(RUNS, UP, "alone"), "unknown baseline: 'alone'"),
        (lambda: report.paired(RUNS, {"a/miou": True}, "single"), "unknown metric: 'a/miou'; did you mean 'a/mIoU'?"),
        (lambda: report.intervals(RUNS, {}), "no metric is named"),
        (lambda: report.intervals(RUNS, UP, level=95), "level 95 of an interval; expected a share between 0 and 1"),
        (lambda: report.delta_m_table(RUNS, UP, "single", "task"), "(over): 'task'; did you mean 'tasks'?"),
        (lambda: report.negative_transfer(RUNS, UP, "single", spread="all"), "unknown spread of an interval: 'all'"),
    ],
)
def test_mistakes_are_told(call, message):
    with pytest.raises(UserError) as error:
        call()
    assert message in str(error.value)
