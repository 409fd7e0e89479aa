"""A study from end to end: what it trains, leaves and says, how it goes on after a kill, what a later measure adds."""

import json
import os
import pathlib
import re
import signal
import time

import numpy as np
import pytest

from mtljax import studies
from mtljax.errors import UserError
from mtljax.studies.comparison import notes, training
from mtljax.studies.comparison.here import Here
from mtljax.studies.comparison.plan import config_of
from mtljax.studies.relate import last_layers
from mtljax.train.run import config_file
from mtljax.train.spread import hosts
from tests import runs
from tests.studies.comparison.digits_config import write_digits
from tests.studies.relate import made
from tests.studies.relate.digits_config import get_config


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("digits") / "mnist")


@pytest.fixture
def trained(monkeypatch):
    """The folders of what is trained, in order; nothing is, but what runs leave is there."""
    folders = []

    def train(config, workdir, job, **_):
        part = config_of(config, job)
        folders.append(job.folder)
        config_file.settle(plan_config(part), workdir / job.folder)
        study = made.study(workdir, "transfer();networks()", tasks=("left", "right"), splits=("validation",))
        losses = {task: 1.0 + 0.1 * len(part.tasks) + 0.01 * len(job.folder) for task in part.tasks}
        made.leave(study, job, losses)
        (workdir / job.folder / "metrics.jsonl").write_text(
            json.dumps({"step": 1, "split": "validation", **{f"{t}/loss": loss for t, loss in losses.items()}}) + "\n"
        )
        return notes.Outcome(notes.DONE)

    monkeypatch.setattr(training, "train", train)
    monkeypatch.setattr(Here, "check", lambda self, jobs: [])
    return folders


def plan_config(part):
    from mtljax.train.config.default import checked

    return checked(part)


def test_a_later_measure_trains_what_is_missing_alone_and_the_first_stays(digits, tmp_path, trained, capsys):
    config = get_config(str(digits))
    assert studies.relate(config, tmp_path, "transfer()", budgets="1;2") == 0
    first = list(trained)
    assert sorted(first) == sorted({*first})
    assert [folder for folder in first if folder.startswith("networks")] == [
        "networks/left/seed-0",
        "networks/right/seed-0",
    ]
    assert studies.relate(config, tmp_path, "networks()", budgets="1;2") == 0
    assert trained[len(first) :] == ["networks/left-right/seed-0", "halves/left/seed-0", "halves/right/seed-0"]
    found = json.loads((tmp_path / "relations.json").read_text())
    assert [text.split("(")[0] for text in found["measures"]] == ["transfer", "networks"]
    assert found["taxonomies"]["1"]["sources"]
    assert found["networks"]["1"]["optimal"]["networks"]
    assert len(found["sentences"]) == 2
    assert "By the losses of networks, train with a budget of 1 " in capsys.readouterr().out
    for name in ("relations.md", "pair-gain.csv", "transfer-affinity.csv", "loss-against-budget.svg", "taxonomy-1.png"):
        assert (tmp_path / name).exists()
    page = (tmp_path / "relations.md").read_text()
    assert "The data has no test split" in page
    assert {"| cost | loss on validation |", "Loss on validation against the budget"} <= set(
        re.findall(r"\| cost \| loss on \w+ \||Loss on \w+ against the budget", page)
    )
    assert "on test" not in page


def test_last_layers_are_read_by_all_hosts_and_the_first_alone_writes(digits, tmp_path, trained, monkeypatch):
    """A checkpoint is read by all of them together: the first alone would wait for ever."""
    read, layers = [], {"left": 1.0, "right": -1.0}

    def restored(folder):
        read.append(str(folder.relative_to(tmp_path)))
        return 1, {"params": {f"heads_{task}": {"kernel": np.full((2, 1), x)} for task, x in layers.items()}}

    monkeypatch.setattr(last_layers, "restore_variables", restored)
    for first in (True, False):
        monkeypatch.setattr(hosts, "first", lambda first=first: first)
        assert studies.relate(get_config(str(digits)), tmp_path, "covariance()") == 0
        assert json.loads((tmp_path / "relations.json").read_text())["covariance"]["tasks"] == ["left", "right"]
        (tmp_path / "relations.md").rename(tmp_path / "before.md")
        (tmp_path / "relations.md").write_text("the first host's")
    assert read == ["networks/left-right/seed-0/checkpoints"] * 2
    assert (tmp_path / "relations.md").read_text() == "the first host's"


def test_runs_of_another_config_are_not_taken_for_those_that_are_wanted(digits, tmp_path, trained):
    config = get_config(str(digits))
    studies.relate(config, tmp_path, "transfer()", budgets="1")
    with pytest.raises(UserError, match=r"(?s)scratch.*another config:.*  steps: 5 there, 2 now"):
        studies.relate(config, tmp_path, "transfer(readout={'steps': 2})", budgets="1")
    config.batch_size = 2
    with pytest.raises(UserError, match="batch_size: 4 there, 2 now"):
        studies.relate(config, tmp_path, "transfer()", budgets="1")


def test_a_run_that_failed_is_told_and_nothing_is_concluded(digits, tmp_path, trained, monkeypatch):
    monkeypatch.setattr(training, "train", lambda *_, **__: notes.Outcome(notes.FAILED, "diverged"))
    assert studies.relate(get_config(str(digits)), tmp_path, "covariance()") == 1
    assert not (tmp_path / "relations.json").exists()


def test_a_label_that_the_data_lacks_is_told_before_anything_is_trained(digits, tmp_path):
    config = get_config(str(digits))
    config.tasks.right = "classify(num_classes=10, label='write')"
    with pytest.raises(UserError, match="write"):
        studies.relate(config, tmp_path / "study", "covariance()")
    assert not (tmp_path / "study").exists()


def test_folders_of_others_are_refused(digits, tmp_path, trained):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").touch()
    with pytest.raises(UserError, match="holds a training run"):
        studies.relate(get_config(str(digits)), tmp_path / "run", "covariance()")
    (tmp_path / "compared").mkdir()
    (tmp_path / "compared" / "compare.json").touch()
    with pytest.raises(UserError, match="holds a comparison"):
        studies.relate(get_config(str(digits)), tmp_path / "compared", "covariance()")


@pytest.mark.slow
def test_a_study_that_is_killed_goes_on_where_it_was(digits, tmp_path, compiled):
    def start(**how):
        given = ["--mode=relate", "--relations=transfer(share=0.5)", "--budgets=1", "--seeds=1", "--jobs=1"]
        config = f"tests/studies/relate/digits_config.py:{digits}"
        return runs.launch(compiled, *given, f"--workdir={tmp_path / 'study'}", config=config, **how)

    def done():
        """Folder of a run -> when it left the losses of its images."""
        walked = os.walk(tmp_path / "study")  # which minds no folder of a checkpoint that goes while it looks
        files = [
            pathlib.Path(folder, "image_losses.json") for folder, _, names in walked if "image_losses.json" in names
        ]
        return {file.parent: file.stat().st_mtime_ns for file in files}

    process, begin = start(fresh=True), time.monotonic()
    while len(done()) < 5:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - begin < runs.WAIT
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = done()
    finished = {folder for folder in before if notes.outcome(folder).status == notes.DONE}
    assert 4 <= len(finished) < 8
    assert not (tmp_path / "study" / "relations.json").exists()
    out, _ = runs.finish(start())
    after = done()
    assert len(after) == 8
    assert {folder: after[folder] for folder in finished} == {folder: before[folder] for folder in finished}
    assert "By transfer, at 1 learn " in out or "By transfer, at 1 read " in out
    assert (tmp_path / "study" / "networks/left/seed-0/features/train/0.npy").exists()
    assert {notes.read(folder)["attempts"] for folder in after} == {1}
