"""Traces of some steps of a run."""

import jax.numpy as jnp
import pytest

from mtljax.train.run.profile import Profile


def steps(profile, numbers, fails_at=None):
    """The steps that were taken while a trace was open."""
    inside = []

    def step(number):
        inside.append((number, profile._open))
        if number == fails_at:
            raise RuntimeError
        return jnp.zeros(2) + number, {}

    with profile.closing():
        for number in numbers:
            profile.take(number, lambda number=number: step(number))
    return [number for number, was_open in inside if was_open]


def traces(folder):
    return list(folder.glob("profile/**/*.xplane.pb"))


def test_a_trace_is_of_the_steps_asked_for_and_knows_their_numbers(tmp_path):
    assert steps(Profile((4, 5), 0, tmp_path), range(1, 8)) == [4, 5]
    (trace,) = traces(tmp_path)
    assert b"step_num" in trace.read_bytes()


def test_a_trace_is_ended_with_a_run_that_fails(tmp_path):
    with pytest.raises(RuntimeError):
        steps(Profile((2, 5), 0, tmp_path), range(1, 8), fails_at=3)
    assert traces(tmp_path)


def test_a_run_that_goes_on_within_the_range_traces_the_rest_and_after_it_says_so(tmp_path, capsys):
    assert steps(Profile((4, 6), 5, tmp_path), range(6, 8)) == [6]
    assert steps(Profile((4, 6), 6, tmp_path / "b"), range(7, 9)) == []
    assert "goes on after step 6; no trace" in capsys.readouterr().err
    assert not traces(tmp_path / "b")


def test_none_is_made_by_default(tmp_path):
    assert steps(Profile((0, 0), 0, tmp_path), range(1, 3)) == []
    assert not list(tmp_path.iterdir())
