"""What a run tells of itself in run.json."""

import contextlib
import io
import json
import re
import signal

import jax
import numpy as np
import pytest

import mtljax
from mtljax.errors import UserError
from mtljax.studies.comparison.training import one_line
from mtljax.train.config.programs import Programs
from mtljax.train.run import evaluate as evaluation
from mtljax.train.run import loop, record, steps
from mtljax.train.spread.program import Program
from tests.runs import lines, state
from tests.train.conftest import changed

ONE = "mesh(data=1)"


def told(workdir):
    """The record of a run, whose figures must all be what JSON knows."""

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads((workdir / "run.json").read_text(), parse_constant=refuse)


@pytest.fixture(scope="module")
def programs():
    """What runs of one config share: so that those after the first compile nothing."""
    return Programs()


@pytest.fixture(scope="module")
def ran(digits, programs, tmp_path_factory):
    """The workdir of a run of six steps, its config, and what it printed."""
    workdir = tmp_path_factory.mktemp("record") / "run"
    config = changed(digits, steps=6, eval_every=3, checkpoint_every=3, log_every=2, parallel=ONE, panel_images=1)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        loop.train(config, workdir, times_predictions=True, programs=programs)
    return workdir, config, printed.getvalue()


@pytest.fixture(scope="module")
def done(ran):
    return ran[0]


def test_a_run_that_is_done_tells_how_it_went(done):
    found = told(done)
    kept = {"version": 1, "status": "done", "message": "", "step": 6, "steps": 6, "losses_step": 6}
    assert {key: found[key] for key in kept} == kept
    assert found["tasks"]["left"] == {"primary": "accuracy", "metrics": {"accuracy": True}}
    last = lines(done, "train")[-1]
    assert found["losses"] == {"left": last["left/loss"], "right": last["right/loss"]}
    for key, split in (("figures", "validation"), ("constant", "constant")):
        figures = lines(done, split)[-1]
        assert found[key] == {k: v for k, v in figures.items() if k not in ("step", "split", "time")}
    assert found["began"] < found["ended"]
    assert {line.split()[0] for line in found["groups"][1:-1]} == {"left", "right", "shared"}
    assert found["versions"]["mtljax"] == mtljax.__version__


def test_a_run_that_is_done_tells_what_it_cost(done):
    found = told(done)
    seconds = found["seconds"]
    # From step 1 to 2 and from 5 to 6: not across the evaluation after 3, nor while figures of 2 and 4 are written.
    assert seconds["steps_timed"] == len(seconds["step_sample"]) == 2
    assert 0 < seconds["step_median"] <= seconds["step_p95"] < seconds["training"]
    assert 0 < seconds["compile"] < seconds["to_first_step"]
    assert seconds["evaluation"] > 0
    assert seconds["training"] + seconds["evaluation"] + seconds["compile"] < found["ended"] - found["began"]
    assert min(seconds["inference"], seconds["inference_8"]) > 0
    assert found["memory"]["bytes"] > 2**20
    products = 2 * (28 * 28 * 4 + 2 * 4 * 10)
    assert products < found["flops"]["forward"] < 1.1 * products
    assert found["flops"]["step"] > 8 * 1.5 * products
    assert found["parameters"] == 28 * 28 * 4 + 4 + 2 * (4 * 10 + 10)
    assert found["devices"] == {"kind": "cpu", "number": 1}


def test_the_closing_table_ends_with_what_a_run_cost(ran):
    *_, first, second = ran[2].splitlines()
    for part in ("s a step (p95", "of 2), ", "s to compile", "MiB of the process"):
        assert part in first
    assert second.endswith("FLOPs an example forward, 3,240 parameters")


@pytest.mark.parametrize("parallel", ["pmap()", pytest.param("mesh(data=4)", marks=pytest.mark.slow)])
def test_flops_of_a_step_are_those_of_all_devices(digits, done, tmp_path, parallel):
    loop.train(changed(digits, parallel=parallel, steps=1), tmp_path / "run")
    found = told(tmp_path / "run")
    number = {"pmap()": 8, "mesh(data=4)": 4}[parallel]
    assert found["devices"]["number"] == number
    assert (found["seconds"]["steps_timed"], found["seconds"]["step_median"]) == (0, None)
    # Every device updates all parameters, and divides its own part of the batch.
    alone = told(done)["flops"]["step"]
    assert alone < found["flops"]["step"] < number * alone


def test_a_run_that_diverges_tells_its_last_good_losses_and_keeps_what_is_finite(digits, tmp_path, capsys):
    rates = dict.fromkeys(("shared", "left", "right"), "sgd(1e25)")
    config = changed(digits, optimizers=rates, balance="equal()", steps=9, max_skipped_in_row=2, parallel=ONE)
    with pytest.raises(UserError, match="not finite") as error:
        loop.train(config, tmp_path / "run")
    found = told(tmp_path / "run")
    assert (found["status"], found["message"]) == ("failed", str(error.value))
    assert 1 <= found["losses_step"] < found["step"] < 9
    assert set(found["losses"]) == {"left", "right"}
    assert found["figures"] == {}
    assert found["ended"] is not None
    said = capsys.readouterr().err
    assert len(re.findall(r"non-finite (loss of|gradient|parameters).*update skipped", said)) >= 2
    assert "2 updates in a row were not finite (max_skipped_in_row)" in str(error.value)
    [newest] = [int(p.name) for p in (tmp_path / "run" / "checkpoints").iterdir() if p.name.isdigit()]
    kept = state(tmp_path / "run", newest)
    assert all(np.isfinite(v).all() for v in kept.values() if v.dtype.kind == "f")


def test_no_step_copies_between_host_and_device_unasked(digits, tmp_path, monkeypatch):
    """Neither of JAX's own accord, which its guard sees, nor for what a compiled program is given, which it does not."""
    guarded, called, taken, call = [], [], steps.Loop._steps, Program.__call__

    def under_guard(self, *args):
        monkeypatch.setattr(Program, "__call__", seen)
        with jax.transfer_guard("disallow"):
            taken(self, *args)
        guarded.append(self.record.as_dict()["step"])
        monkeypatch.setattr(Program, "__call__", call)

    def seen(self, *args):
        called.extend(type(leaf) for leaf in jax.tree.leaves(args) if not isinstance(leaf, jax.Array))
        return call(self, *args)

    monkeypatch.setattr(steps.Loop, "_steps", under_guard)
    rates = dict.fromkeys(digits.optimizers, "sgd(linear_schedule(1e-3, 0.0, steps))")
    config = changed(digits, steps=4, eval_every=100, checkpoint_every=100, log_every=1, parallel=ONE, optimizers=rates)
    loop.train(config, tmp_path / "run")
    assert guarded == [4]
    assert called == []


CALLBACK = "INTERNAL: CpuCallback error: Traceback (most recent call last):\n  File 'own.py', line 3\nKeyError: 'red'\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("RESOURCE_EXHAUSTED: Out of memory\nwhile allocating\n", "RESOURCE_EXHAUSTED: Out of memory"),
        (CALLBACK, "INTERNAL: CpuCallback error: KeyError: 'red'"),
    ],
)
def test_any_error_is_told_in_one_line(ran, programs, tmp_path, monkeypatch, text, line):
    assert one_line(RuntimeError(text)).startswith(f"RuntimeError: {line}")

    def of_no_memory(parts):
        def evaluate(state, between=None):
            raise RuntimeError(text)

        return evaluate

    monkeypatch.setattr(evaluation, "evaluator", of_no_memory)
    with pytest.raises(RuntimeError):
        loop.train(ran[1], tmp_path / "run", programs=programs)
    found = told(tmp_path / "run")
    assert (found["status"], found["step"]) == ("failed", 3)
    assert found["message"] == f"RuntimeError: {line}"


def test_a_stopped_run_goes_on_with_its_record(digits, done, tmp_path, monkeypatch):
    evaluator = evaluation.evaluator

    def stopping(parts):
        evaluate = evaluator(parts)

        def asked(state, between=lambda: None):
            signal.raise_signal(signal.SIGTERM)
            return evaluate(state, between)

        return asked

    config = changed(digits, steps=6, eval_every=4, log_every=1, parallel=ONE)
    monkeypatch.setattr(evaluation, "evaluator", stopping)
    with pytest.raises(loop.Stopped):
        loop.train(config, tmp_path / "run")
    before = told(tmp_path / "run")
    assert (before["status"], before["message"], before["step"]) == ("stopped", "", 4)
    assert before["figures"] == {}
    monkeypatch.undo()
    loop.train(config, tmp_path / "run")
    after = told(tmp_path / "run")
    assert (after["status"], after["step"], after["began"]) == ("done", 6, before["began"])
    timed = [found["seconds"]["steps_timed"] for found in (before, after)]
    assert timed == [3, 4]
    for name in ("training", "evaluation", "compile"):
        assert after["seconds"][name] > before["seconds"][name] > 0
    assert after["memory"]["bytes"] >= before["memory"]["bytes"]
    found, expected = state(tmp_path / "run", 6), state(done, 6)  # bit by bit that of a run left alone
    assert found.keys() == expected.keys()
    assert all((value == found[key]).all() for key, value in expected.items())


def test_a_record_that_cannot_be_written_is_told(digits, tmp_path):
    (tmp_path / "run" / "run.json").mkdir(parents=True)
    with pytest.raises(UserError, match="cannot write to workdir"):
        loop.train(changed(digits, parallel=ONE), tmp_path / "run")


def test_what_is_no_record_is_none(tmp_path):
    assert record.read(tmp_path) == {}
    (tmp_path / "run.json").write_text('{"version": 1, "sta')
    assert record.read(tmp_path) == {}
