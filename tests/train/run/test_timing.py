"""Seconds of a run and of its steps."""

import numpy as np
import pytest

from mtljax.train.run import memory, timing
from mtljax.train.run.timing import Clock, StepTimes, quantiles


def times_of(*gaps, before=None, writes=False):
    times = StepTimes(before or {})
    for now in np.cumsum([0.0, *gaps]):
        times.ended(now, writes=writes)
    return times


def test_weighted_quantiles_are_those_of_as_many_values():
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=30), rng.integers(1, 50, 30)
    repeated = np.repeat(values, weights)
    found = quantiles(values, weights, [0.5, 0.95])
    spread = np.sort(values)
    for at, value in zip((0.5, 0.95), found, strict=True):
        place = np.searchsorted(spread, np.quantile(repeated, at))
        assert spread[max(place - 1, 0)] <= value <= spread[min(place + 1, 29)]
    assert quantiles(values, np.ones(30), [0.5]) == pytest.approx([np.median(values)])


def test_earlier_steps_weigh_as_much_as_they_were_many():
    slow = times_of(*[2.0] * 900).figures()
    assert len(slow["step_sample"]) <= 40
    both = times_of(*[1.0] * 100, before=slow).figures()
    assert (both["step_median"], both["step_p95"], both["steps_timed"]) == (2.0, 2.0, 1000)
    both = times_of(*[1.0] * 2000, before=slow).figures()
    assert (both["step_median"], both["steps_timed"]) == (1.0, 2900)


def test_steps_that_are_written_count_where_all_are():
    assert times_of(1.0, 2.0, 3.0, writes=True).figures()["step_median"] == 2.0
    times = times_of(1.0, 2.0)
    times.ended(3.5, writes=True)
    times.ended(99.0)
    assert times.figures()["steps_timed"] == 3


def test_many_steps_take_no_more_room(monkeypatch):
    monkeypatch.setattr(timing, "_MANY", 100)
    times = times_of(*np.linspace(1.0, 2.0, 1001))
    times.ended(9e9, writes=True)
    found = times.figures()
    assert found["steps_timed"] == 1002
    assert found["step_median"] == pytest.approx(1.5, abs=0.05)
    assert found["step_p95"] == pytest.approx(1.95, abs=0.05)


def test_time_is_charged_to_the_innermost(monkeypatch):
    now = iter([0.0, 1.0, 4.0, 9.0, 9.0])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(now))
    clock = Clock({"outer": 100.0})
    with clock.spent("outer"), clock.spent("inner"):
        pass
    assert clock.seconds == {"outer": 100.0 + 1.0 + 5.0, "inner": 3.0}


def test_peak_memory_is_that_since_it_was_asked_for():
    np.ones(100 * 2**20, np.uint8)
    peak = memory.PeakMemory()
    small = peak.figures()
    assert small["of"] == "process"
    held = np.ones(64 * 2**20, np.uint8)
    assert peak.figures()["bytes"] >= small["bytes"] + held.size // 2
    if small["since"] == "run":
        largest = peak.figures()["bytes"]
        del held
        assert memory.PeakMemory().figures()["bytes"] < largest
    assert peak.figures(10**15)["bytes"] == 10**15


def test_a_system_that_does_not_tell_gives_the_process_its_life(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_CLEAR", tmp_path / "none" / "clear_refs")
    found = memory.PeakMemory().figures()
    assert found["since"] == "process"
    assert 2**24 < found["bytes"] < 2**40
