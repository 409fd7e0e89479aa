"""All of `misuses`, each done as people do it: none ends in a traceback, and none begins to train without a word."""

import functools
import shlex

import numpy as np
import optax
import pytest

import mtljax as mtl
from mtljax import cli
from mtljax.errors import UserError
from mtljax.train.run import loop
from tests import in_process, misuses, wrong_things

pytestmark = pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")  # of the user's own code


class Begins(BaseException):  # which no program takes for a user's error
    """A run has passed all that is looked at before its workdir is touched."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("misuses")
    wrong_things.lay_out(made)
    return made


@pytest.fixture
def things(folder, monkeypatch):
    """The module of what a user has, in whose folder tests stand."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    import things

    return things


@pytest.fixture
def _none_trains(monkeypatch):
    def begins(workdir):
        raise Begins

    def started(parts, fitted, workdir):
        if parts.config.init_from or parts.config.pretrained:
            return start(parts, fitted, workdir)
        return None, ""  # initial parameters take a while, and are right where nothing is read into them

    start = loop.start
    monkeypatch.setattr(loop, "sole_use_by_all", begins)
    monkeypatch.setattr(loop, "start", started)
    monkeypatch.setattr(cli, "_begin", lambda: None)  # signals and devices are those of the tests


def said(command, capsys):
    """What the program says on standard error, and its exit status; None where the run begins."""
    words = shlex.split(command)
    for flag, value in (("--config", "experiment.py"), ("--workdir", "run")):
        if not any(word.startswith(f"{flag}=") for word in words):
            words.insert(0, f"{flag}={value}")
    try:
        status = in_process.command(*words)
    except Begins:
        status = None
    return capsys.readouterr().err, status


@pytest.mark.usefixtures("things", "_none_trains")
@pytest.mark.parametrize("command", misuses.COMMANDS)
def test_a_command_is_refused_in_one_line(command, capsys, folder):
    err, status = said(command, capsys)
    *before, last = err.strip().splitlines()
    assert status == 2, err
    assert misuses.COMMANDS[command] in last
    assert last.startswith("launch.py: error: ")
    assert all("warning: " in line or "absl" in line for line in before), err
    assert not (folder / "run").exists()


@pytest.mark.usefixtures("things", "_none_trains")
@pytest.mark.parametrize("command", misuses.MEANT)
def test_what_may_be_meant_is_told_before_the_first_step(command, capsys):
    err, status = said(command, capsys)
    assert status is None, err
    assert misuses.MEANT[command] in err


def names(things):
    own = {
        "data": things.GOOD,
        "tasks": {"age": "regress(label='age', mean=5, std=3)", "kind": "classify(3, label='kind')"},
        "model": things.Encoder(),
        "optimizers": "adam(1e-2)",
        "parallel": "mesh(data=1)",
    }
    options = {"batch_size": 4, "steps": 1, "panel_images": 0, "workdir": "run"}
    return {"mtl": mtl, "np": np, "optax": optax, "things": things, "fit": functools.partial(mtl.fit, **own, **options)}


@pytest.mark.usefixtures("_none_trains")
@pytest.mark.parametrize("call", misuses.CALLS)
def test_a_call_is_refused_in_one_line(call, things, folder):
    with pytest.raises(UserError) as told:
        eval(call, names(things))
    assert misuses.CALLS[call] in str(told.value)
    assert not (folder / "run").exists()


@pytest.mark.slow
def test_what_a_trained_run_cannot_do_is_told(things, tmp_path):
    known = names(things)
    known["run"] = known["fit"](workdir=tmp_path / "trained")
    for call, message in misuses.CALLS_OF_RUN.items():
        with pytest.raises(UserError) as told:
            eval(call, known)
        assert message in str(told.value), call


def test_they_are_more_than_sixty():
    assert len(misuses.COMMANDS) + len(misuses.MEANT) + len(misuses.CALLS) > 60
