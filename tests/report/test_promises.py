"""What multi-task learning promises: golden figures, and verdicts that no figure can bend."""

import functools
import math

import numpy as np
import pytest

from mtljax import report
from mtljax.errors import UserError
from mtljax.report.statistics import promises
from mtljax.report.statistics.training_time import Curve, training_time
from tests.report import made

close = functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-9)


def test_training_time_is_golden(small):
    golden = small["promises"]["training"]
    alone, joint = (
        {
            task: report.Curve(golden["steps"], values, pace[task] if isinstance(pace, dict) else pace)
            for task, values in golden[kind].items()
        }
        for kind, pace in golden["seconds_per_step"].items()
    )
    found = report.training_time(alone, joint, golden["higher_is_better"])
    for task, expected in golden["tasks"].items():
        for name, value in expected.items():
            ours = getattr(found.tasks[task], name)
            assert (ours is None) == (value is None), name
            if value is not None:
                close(ours, value)
    assert (found.seconds_alone, found.seconds_joint) == (
        golden["seconds_alone_in_all"],
        golden["seconds_joint_in_all"],
    )


def test_label_curve_is_golden(small):
    golden = small["promises"]["labels"]
    alone, joint = (dict(zip(golden["fractions"], golden[kind], strict=True)) for kind in ("alone", "joint"))
    found = report.label_curve(alone, joint, golden["higher_is_better"])
    close(found.equal_share, golden["fraction_that_equals_all_labels_alone"])
    close(found.mean_gain, golden["mean_relative_gain_over_log_fraction"])


def time(goal_at, length=2.0):
    """One task that alone reaches 1 after 2 steps of a second, jointly after some, or never."""
    alone = report.Curve([0, 2], [3.0, 1.0], 1.0)
    other = report.Curve([0, length], [3.0, 3.0 - 2.0 * length / goal_at], 1.0)
    return report.training_time({"depth": alone}, {"depth": other}, {"depth": False})


def test_a_goal_counts_by_the_best_so_far_and_what_is_not_finite_never_does():
    alone = report.Curve([0, 1, 2, 3], [math.nan, 2.0, 1.0, 1.5], 2.0)
    joint = report.Curve([1, 2, 3], [2.0, -math.inf, 0.5], 1.0)
    found = report.training_time({"depth": alone}, {"depth": joint}, {"depth": False}).tasks["depth"]
    assert (found.goal, found.steps_alone, found.seconds_alone) == (1.0, 2.0, 4.0)
    close(found.steps_joint, 2 + (2.0 - 1.0) / 1.5)
    nothing = report.Curve([0], [math.nan], 1.0)
    found = report.training_time({"depth": nothing}, {"depth": joint}, {"depth": False})
    assert (found.seconds_alone, found.seconds_joint) == (None, None)
    assert math.isnan(found.ratio)
    worse_between = report.Curve([0, 1, 2], [1.5, 4.0, 0.5], 1.0)  # best so far 1.5, 1.5, 0.5
    found = report.training_time({"depth": alone}, {"depth": worse_between}, {"depth": False}).tasks["depth"]
    assert found.steps_joint == 1.5


def test_the_last_task_tells_when_all_are_there():
    alone = {task: report.Curve([0, 4], [2.0, 1.0], 0.5) for task in "ab"}
    joint = {"a": report.Curve([0, 4], [2.0, 0.0], 0.75), "b": report.Curve([0, 4], [2.0, 1.0], 0.75)}
    found = report.training_time(alone, joint, {"a": False, "b": False})
    assert (found.seconds_joint, found.seconds_alone, found.ratio) == (3.0, 4.0, 0.75)


def test_accuracy_has_the_spread_of_the_baseline_too(seeds, runs):
    from scipy.stats import ttest_rel

    found = promises.accuracy(runs, seeds["metrics"], "single", "pcgrad()")
    ours, alone = (seeds["table"][method]["delta_m_over_tasks"] for method in ("pcgrad()", "single"))
    expected = ttest_rel(ours, alone).confidence_interval(0.95)
    close(found.figure.interval, [expected.low, expected.high])
    assert found.verdict == "holds"
    assert promises.accuracy(runs, seeds["metrics"], "single", "equal()").verdict == "does not hold"


def test_training_is_judged_over_seeds():
    def verdict(*goals):
        return promises.training({seed: time(goal) for seed, goal in enumerate(goals)})

    sooner = verdict(1.0, 1.1, 1.05)
    assert sooner.verdict == "holds"
    close(list(sooner.figure.values.values()), [0.5, 0.55, 0.525])
    assert "(ratio of seconds 0.525, interval 0.4629 to 0.5871; 3 seeds)" in sooner.sentence
    assert verdict(1.0).verdict == "not shown"
    assert verdict(1.0, 1.99, 1.5).verdict == "not shown"
    assert verdict(8.0, 8.0).verdict == "does not hold"
    assert verdict(8.0).verdict == "not shown"
    some = verdict(1.0, 8.0, 1.0)
    assert (some.verdict, some.note) == ("not shown", "it is never reached with 1 of 3 seeds")
    assert "no ratio of seconds" in some.sentence
    nowhere = training_time({"a": Curve([1], [math.nan], 1.0)}, {"a": Curve([1], [0.5], 1.0)}, {"a": True})
    aimless = promises.training({0: nowhere, 1: nowhere})
    assert (aimless.verdict, aimless.note) == ("not shown", "a single network has no finite figure with 2 of 2 seeds")


def test_inference_is_the_ratio_of_costs():
    alone = {seed: {"a": 1.0, "b": 3.0} for seed in range(3)}
    found = promises.inference({0: 2.0, 1: 2.1, 2: 1.9}, alone, "seconds")
    close(list(found.figure.values.values()), [0.5, 0.525, 0.475])
    assert found.verdict == "holds"
    assert promises.inference({0: 2.0}, alone, "seconds").verdict == "not shown"
    assert promises.inference({0: 2.0}, alone, counted=True).verdict == "holds"
    assert promises.inference({0: 4.0}, alone, counted=True).verdict == "does not hold"
    assert promises.inference({0: 9.0, 1: 9.1, 2: 9.2}, alone).verdict == "does not hold"
    lacking = promises.inference({0: 2.0, 1: 2.0}, alone | {1: {"a": 1.0}, 0: {"a": math.nan, "b": 1.0}})
    assert (lacking.figure.n, lacking.verdict) == (0, "not shown")
    assert lacking.note == "3 seeds have no figure of all networks"
    with pytest.raises(UserError, match="a cost of -1"):
        promises.inference({0: -1.0}, alone)


def test_labels_are_saved_only_where_seeds_show_it():
    def verdict(*gains):
        curve = {seed: {"a": report.LabelCurve(0.5, gain)} for seed, gain in enumerate(gains)}
        return promises.labels(curve)

    assert [verdict(*gains).verdict for gains in ((0.1, 0.11, 0.12), (-0.1, -0.11, -0.12), (0.1, -0.1), (0.1,))] == [
        "holds",
        "does not hold",
        "not shown",
        "not shown",
    ]
    assert verdict(0.1, None).note == "a share's figure is missing"
    assert verdict(0.1, None).verdict == "not shown"


def test_a_label_curve_says_what_it_cannot():
    curve = functools.partial(report.label_curve, higher_is_better=True)
    assert curve({0.5: 1.0, 1.0: 2.0}, {0.5: 2.5, 1.0: 3.0}).equal_share == 0.5
    assert curve({0.5: 1.0, 1.0: 2.0}, {0.5: 1.5, 1.0: 1.9}).equal_share is None
    assert curve({0.25: 1.0, 1.0: 2.0}, {0.25: 1.0, 1.0: 3.0}).equal_share == 0.5
    assert curve({0.5: 1.0, 1.0: 2.0}, {0.5: math.nan, 1.0: 3.0}) == report.LabelCurve(None, None)
    assert curve({1.0: 2.0}, {1.0: 3.0}) == report.LabelCurve(1.0, None)
    assert curve({0.5: 0.0, 1.0: 2.0}, {0.5: 1.0, 1.0: 3.0}).mean_gain is None
    for shares, message in (((0.5,), "the last of them 1"), ((0.0, 1.0), "above 0"), ((), "above 0")):
        with pytest.raises(UserError, match=message):
            curve(dict.fromkeys(shares, 1.0), dict.fromkeys(shares, 1.0))
    with pytest.raises(UserError, match="the same shares"):
        curve({0.5: 1.0, 1.0: 1.0}, {1.0: 1.0})


def test_mistakes_in_curves_are_told():
    one = report.Curve([0, 1], [1.0, 0.5], 1.0)
    with pytest.raises(UserError, match="unknown task in the curves joint: 'depth'; did you mean 'depths'"):
        report.training_time({"depth": one}, {"depths": one}, {"depth": False})
    for steps in ([1, 0], [0, 1, 2]):
        with pytest.raises(UserError, match="expected rising steps, a value each"):
            report.training_time({"a": one}, {"a": report.Curve(steps, [2.0, 3.0], 1.0)}, {"a": False})


def test_a_comparison_is_judged_by_what_its_runs_show():
    shares = [
        run
        for s in range(3)
        for run in (*made.alone(s, 0.4, 0.7, 0.4, 0.25), made.joint("equal()", s, 0.3, 0.8, 0.5, 0.25))
    ]
    found = {promise.unit: promise for promise in report.promised(made.comparison(*shares), "equal()")}
    assert list(found) == [
        "ratio of forward FLOPs",
        "mean relative gain over log2 share",
        "Δm in per cent over tasks",
        "Δm in per cent over metrics",
    ]
    assert {promise.figure.n for promise in found.values()} == {3}
    assert [promise.verdict for promise in found.values()] == ["holds", "holds", "does not hold", "does not hold"]
    close(found["ratio of forward FLOPs"].figure.mean, 30 / 40)
    curves = report.label_curves(made.comparison(*shares), "equal()")
    # depth alone 0.4 and 0.2, jointly 0.3 and 0.25: a quarter better, a quarter worse; parts 25 % better, 10 % worse
    close([curves[0]["depth"].mean_gain, curves[0]["parts"].mean_gain], [0.0, 0.075])
    times = {seed: time(1.0) for seed in range(3)}
    assert "training" in [p.name for p in report.promised(made.comparison(), "equal()", times)]
    assert [p.name for p in report.promised(made.comparison(), "equal()")] == ["inference", "accuracy", "accuracy"]
    one = report.promised(made.comparison(), "equal()", metrics=["depth/delta1"])[1].figure
    close(list(one.values.values()), [100 / 9] * 3)
    with pytest.raises(UserError, match="unknown method of the comparison: 'equal'"):
        report.promised(made.comparison(), "equal")
