"""Writers besides our own: named, given, failing; Weights & Biases and MLflow where they are installed, offline."""

import json
import re
import sys
import types

import numpy as np
import pytest
from PIL import Image

import mtljax as mtl
from mtljax.errors import UserError
from mtljax.train.run import loop
from mtljax.train.run.trackers import _MLflow, _Wandb, trackers_of
from mtljax.train.run.writer import MetricWriter

ASKED = []


class Mine:
    """A writer of one's own."""

    def __init__(self, fails=""):
        self.fails = fails

    def _asked(self, name, *arguments):
        ASKED.append((name, *arguments))
        if self.fails == name:
            raise OSError("no network")

    def begin(self, workdir, settings):
        self._asked("begin", workdir, settings)

    def write(self, step, figures):
        self._asked("write", step, figures)

    def picture(self, step, name, file):
        self._asked("picture", step, name, file.name)

    def close(self):
        self._asked("close")


@pytest.fixture
def asked():
    ASKED.clear()
    return ASKED


def run(workdir, others, start=0):
    """What a run writes: two steps, a picture, its end."""
    Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(workdir / "panel.png")
    writer = MetricWriter(workdir, start, others, {"steps": 2, "balance": "equal()"})
    writer.begin()
    for step in (start + 1, start + 2):
        writer.write(step, "train", {"a/loss": step / 2, "b/loss": float("nan")}, {"speed/steps_per_second": 8.0})
    writer.picture(start + 2, "panel", workdir / "panel.png")
    writer.close()


def test_a_writer_of_ones_own_is_told_all(tmp_path, asked):
    run(tmp_path, trackers_of(f"{__name__}:Mine()"))
    told = [{"train/a/loss": step / 2, "speed/steps_per_second": 8.0} for step in (1, 2)]
    assert asked == [
        ("begin", tmp_path, {"steps": 2, "balance": "equal()"}),
        ("write", 1, told[0]),
        ("write", 2, told[1]),
        ("picture", 2, "panel", "panel.png"),
        ("close",),
    ]
    line = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    assert list(line) == ["step", "split", "time", "a/loss", "b/loss"], "what passes is in no line"
    [events] = (tmp_path / "tensorboard").iterdir()
    assert {text in events.read_bytes() for text in (b"speed/steps_per_second", b"panel")} == {True}


def test_one_that_fails_is_told_once_and_the_others_go_on(tmp_path, asked, capsys):
    run(tmp_path, (Mine("write"), Mine()))
    assert (
        capsys.readouterr().err.count("warning: writer mine: OSError: no network; nothing more is written there") == 1
    )
    assert [name for name, *_ in asked] == ["begin", "begin", "write", "write", "write", "picture", "close"]


class Fails(Mine):
    def fail(self, error):
        self._asked("fail", str(error))


def test_how_a_run_ended_is_told_before_the_end_and_a_writer_that_never_began_is_closed(tmp_path, asked):
    with pytest.raises(ValueError, match="no such thing"), MetricWriter(tmp_path, 0, (Mine(), Fails())):
        raise ValueError("no such thing")
    assert asked == [("fail", "no such thing"), ("close",), ("close",)]
    asked.clear()
    with MetricWriter(tmp_path, 0, (Fails(),)):
        pass
    assert asked == [("close",)]


def test_a_run_tells_its_writers_how_it_ended(tmp_path, asked, monkeypatch):
    def run(self):
        raise UserError("the disk is tired")

    monkeypatch.setattr(loop.Loop, "run", run)
    rng = np.random.default_rng(0)
    data = {"image": rng.integers(0, 256, (20, 2, 2, 3), np.uint8), "red": rng.integers(0, 2, 20)}
    tasks, model = {"red": mtl.tasks.classify(2, label="red")}, mtl.encoders.MLP((2,))
    options = {"optimizers": {"shared": "sgd(0.1)", "red": "sgd(0.1)"}, "batch_size": 8, "panel_images": 0, "steps": 1}
    with pytest.raises(UserError, match="tired"):
        mtl.fit(data=data, tasks=tasks, model=model, workdir=tmp_path / "run", writers=[Fails()], **options)
    assert asked == [("fail", "the disk is tired"), ("close",)]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (None, "FINISHED", 0),
        (UserError("a"), "FAILED", 1),
        (SystemExit(0), "KILLED", 1),
        (KeyboardInterrupt(), "KILLED", 1),
    ],
)
def test_a_run_that_fails_or_is_stopped_is_not_told_as_finished(error, status, code):
    """By stand-ins for the two libraries; what is asked of them is what their own tests below ask."""
    ended = []
    client = types.SimpleNamespace(set_terminated=lambda run, status: ended.append((run, status)))
    run = types.SimpleNamespace(finish=lambda exit_code: ended.append(exit_code))
    for tracker in (_MLflow(None, "mine", None, "", client, "a"), _Wandb(None, {}, run)):
        if error is not None:
            tracker.fail(error)
        tracker.close()
    assert ended == [("a", status), code]


def test_one_that_cannot_begin_ends_the_run(tmp_path, asked):
    with pytest.raises(UserError, match="writer mine: OSError: no network"):
        run(tmp_path, (Mine("begin"),))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wandb()", "missing a required argument: 'project'"),
        ("wandb(projct='a')", "'projct'; did you mean 'project'"),
        ("3", "something of type int; expected begin, write, picture and close"),
        ("given('Mine')", "expected them again"),
    ],
)
def test_mistakes_are_told(text, message):
    with pytest.raises(UserError, match=message):
        trackers_of(text)


@pytest.mark.parametrize("text", ["wandb(project='a')", "mlflow"])
def test_a_library_that_is_not_there_is_named_with_its_extra(text, monkeypatch):
    name = text[:6].rstrip("(")
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=rf"writer {name}: .*pip install 'mtljax\[{name}\]'"):
        trackers_of(text)


def test_a_class_is_no_writer_until_it_is_called():
    with pytest.raises(UserError, match="something of type type; expected begin, write"):
        trackers_of("", {"writers": Mine})


def test_none_is_named_by_default():
    assert trackers_of("") == ()
    mine = Mine()
    assert trackers_of("given('Mine')", {"writers": mine}) == trackers_of("", {"writers": [mine]}) == (mine,)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_has_the_figures_and_goes_on(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "store").as_uri()
    workdir = tmp_path / "run"
    workdir.mkdir()
    for start in (0, 2):
        run(workdir, trackers_of(f"mlflow('mine', uri={uri!r})"), start)
    client = mlflow.MlflowClient(tracking_uri=uri)
    [found] = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    assert (found.info.run_name, found.info.status) == ("run", "FINISHED")
    assert found.data.params == {"steps": "2", "balance": "equal()"}
    history = client.get_metric_history(found.info.run_id, "train/a/loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 1.0), (3, 1.5), (4, 2.0)]
    assert [file.path for file in client.list_artifacts(found.info.run_id)] == ["panel.png"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wandb_has_the_figures_offline(tmp_path, capfd):
    pytest.importorskip("wandb")
    workdir = tmp_path / "run"
    workdir.mkdir()
    run(workdir, trackers_of("wandb(project='mine', mode='offline')"))
    [file] = (workdir / "wandb").glob("offline-run-*/*.wandb")
    summary = capfd.readouterr().err  # the file itself is packed
    assert re.search(r"train/a/loss 1\n", summary)
    assert re.search(r"speed/steps_per_second 8\n", summary)
    assert list(file.parent.glob("files/media/images/panel_*.png"))
    assert (workdir / "wandb.id").read_text().strip() in file.name
