"""The checkpoint of the best evaluation is kept beside the newest, and found again."""

import contextlib
import dataclasses
import errno
import json
import math

import pytest

import mtljax as mtl
from mtljax.errors import UserError
from mtljax.train.config.best_by import BestBy, best_by
from mtljax.train.config.default import checked
from mtljax.train.config.experiment import build
from mtljax.train.run import best, loop
from mtljax.train.run import evaluate as evaluation
from mtljax.train.run.checkpoint import finished
from tests.train.conftest import changed

UP = BestBy("a/accuracy", True)


@pytest.fixture
def kept(tmp_path):
    """Notes figures of steps as a run does, life after life, in one workdir; the step that is best then."""

    def note(by, figures, constant=dict, first=1):
        state = {"x": 1.0}
        with contextlib.closing(best.Best(by, tmp_path, constant)) as kept:
            for step, figure in enumerate(figures, first):
                kept.note(step, {by.name: figure} if not by.primary else figure, lambda to, at: to.save(at, state, at))
            found = kept.step
        assert finished(tmp_path / "best") == ([] if found is None else [found])
        return found

    return note


def test_the_best_is_kept_of_equal_ones_the_first_and_none_that_is_no_number(kept):
    assert kept(UP, [0.2, 0.5, math.nan, 0.5, 0.4]) == 2


def test_a_run_that_goes_on_keeps_to_what_was_best(kept, tmp_path):
    down = BestBy("a/error", False)
    assert kept(down, [0.5, 0.3]) == 2
    assert kept(down, [0.4], first=3) == 2
    assert kept(down, [0.1], first=1) == 1  # of a run that goes on before it: the newest checkpoint was older
    assert json.loads((tmp_path / "best.json").read_text())["figures"]["1"] == 0.1
    assert kept(UP, [0.05], first=2) == 2  # another figure


def test_a_full_disk_is_told(kept, tmp_path, monkeypatch):
    def full(file, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(best, "replace_text", full)
    with pytest.raises(UserError, match=f"cannot write to workdir '{tmp_path}': No space left on device"):
        kept(UP, [0.2])


def test_that_no_evaluation_had_a_figure_is_told(kept, capsys):
    assert kept(UP, [math.nan, math.inf]) is None
    assert "keep_best='a/accuracy' was not finite in any of 2 evaluations" in capsys.readouterr().err


def test_delta_m_holds_primary_metrics_against_the_constant_predictors(kept):
    by = BestBy("delta_m", False, {"a": ("accuracy", True), "b": ("error", False)})
    constant = {"a/accuracy": 0.5, "b/error": 2.0}
    asked = []
    figures = [
        {"a/accuracy": 0.6, "b/error": 2.0},
        {"a/accuracy": 0.55, "b/error": 1.0},
        {"a/accuracy": 1, "b/error": 2.0},
    ]
    assert by.of(figures[1], constant) == pytest.approx((-10 - 50) / 2)
    assert kept(by, figures, lambda: asked.append(0) or constant) == 3
    assert len(asked) == 1


@pytest.mark.slow
def test_a_run_keeps_its_best_and_evaluates_and_loads_it(digits, tmp_path, monkeypatch):
    config = changed(digits, steps=3, eval_every=1, keep_best="left/accuracy", baseline_examples=2)
    with monkeypatch.context() as patched:
        scripted, real = iter([0.2, 0.9, 0.3]), evaluation.evaluator

        def evaluator(parts):
            measure = real(parts)
            return lambda *arguments: measure(*arguments) | {"left/accuracy": next(scripted)}

        patched.setattr(evaluation, "evaluator", evaluator)
        loop.train(config, tmp_path)
    assert mtl.load(tmp_path, checkpoint="best").step == 2
    assert mtl.load(tmp_path).step == 3
    told = {line["step"]: line for line in mtl.load(tmp_path).metrics if line["split"] == "validation"}
    found = loop.evaluate(config, tmp_path, "best")
    assert found["step"] == 2
    assert found["left/loss"] == pytest.approx(told[2]["left/loss"])
    assert found["left/loss"] != pytest.approx(told[3]["left/loss"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("left/acuracy", "unknown metric in config.keep_best: 'left/acuracy'; did you mean 'left/accuracy'"),
        ("delta", "did you mean 'delta_m'"),
        ("left/loss", "unknown metric in config.keep_best: 'left/loss'"),
    ],
)
def test_a_metric_that_no_task_has_is_refused_before_anything_is_read(digits, tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        loop.train(changed(digits, keep_best=name), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_delta_m_needs_tasks_with_a_constant_predictor(digits):
    tasks = dict(build(checked(digits)).tasks)
    assert best_by("delta_m", tasks).primary == {"left": ("accuracy", True), "right": ("accuracy", True)}
    tasks["right"] = dataclasses.replace(tasks["right"], constant=None)
    with pytest.raises(UserError, match=r"best constant predictor, which right has not; .* such as 'left/accuracy'"):
        best_by("delta_m", tasks)


def test_a_checkpoint_that_is_not_there_is_named(digits, tmp_path):
    with pytest.raises(UserError, match=r"no best checkpoint in .*best'; config.keep_best"):
        loop.evaluate(digits, tmp_path, "best")
    with pytest.raises(UserError, match="unknown checkpoint 'bset'; did you mean 'best'"):
        loop.evaluate(digits, tmp_path, "bset")
