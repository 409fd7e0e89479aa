"""Every figure of a made comparison of four methods and five seeds, computed elsewhere."""

import functools

import numpy as np
import pytest

from mtljax import report

close = functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-9)


def test_means_errors_and_intervals(seeds, runs):
    found = report.intervals(runs, seeds["metrics"])
    for method, golden in seeds["table"].items():
        own = list(found[method].values())
        assert [summary.n for summary in own] == [5] * 4
        close([summary.mean for summary in own], golden["mean"])
        close([summary.standard_error for summary in own], golden["standard_error"])
        close([summary.interval for summary in own], golden["t_interval"])


@pytest.mark.parametrize("over", ["tasks", "metrics"])
def test_delta_m(seeds, runs, over):
    found = report.delta_m_table(runs, seeds["metrics"], seeds["baseline"], over)
    for method, golden in seeds["table"].items():
        close(list(found[method].values.values()), golden[f"delta_m_over_{over}"])
        if over == "tasks":
            close([found[method].mean, found[method].standard_error], golden["delta_m_over_tasks_mean_and_se"])


def test_mean_rank(seeds, runs):
    found = report.mean_rank(runs, seeds["metrics"], seeds["baseline"])
    assert {method: rank.of_means for method, rank in found.items()} == seeds["mean_rank_of_means"]
    for method, golden in seeds["mean_rank_by_seed"].items():
        close(list(found[method].by_seed.values.values()), golden)


def test_pairs(seeds, runs):
    found = report.paired(runs, seeds["metrics"], seeds["baseline"])
    assert [f"{pair.first} - {pair.second}" for pair in found] == list(seeds["pairs"])
    for pair, golden in zip(found, seeds["pairs"].values(), strict=True):
        close(pair.difference.mean, golden["mean"])
        close(pair.difference.interval, golden["t_interval"])
        for name in ("t", "p", "holm_p", "sign_flip_p", "probability_of_improvement"):
            close(getattr(pair, name), golden[name], err_msg=name)
        assert pair.note == "5 seeds: sign flips cannot give p below 0.0625, so not below 0.05"


def test_transfer(seeds, runs):
    found = report.negative_transfer(runs, seeds["metrics"], seeds["baseline"])
    assert {method: list(tasks) for method, tasks in found.items()} == {
        method: list(tasks) for method, tasks in seeds["transfer"].items()
    }
    for method, tasks in seeds["transfer"].items():
        for task, golden in tasks.items():
            close(found[method][task].worse_by.mean, golden["worse_by"])
            close(found[method][task].worse_by.interval, golden["t_interval"])
            assert found[method][task].verdict == golden["verdict"]
