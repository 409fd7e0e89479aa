"""The study of cross-stitch networks: two stages, the units told and drawn, and the paper's questions."""

import json

import numpy as np
import pytest
from PIL import Image

from configs import cross_stitch as shipped
from mtljax import studies
from mtljax.errors import UserError
from mtljax.studies import cross_stitch
from mtljax.train.config import experiment
from mtljax.train.run import config_file, loop
from mtljax.train.run.start import newest_variables
from tests.data.sources.test_multi_mnist import write


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    images = np.random.default_rng(0).integers(0, 256, (12, 28, 28), np.uint8)
    return write(tmp_path_factory.mktemp("digits") / "mnist", "train", images, (np.arange(12) % 10).astype(np.uint8))


def config(digits, **changes):
    made = shipped.get_config()
    made.data = f"multi_mnist({digits!r})"
    made.encoder, made.stages = "MLP((4, 6))", ("layer1",)
    made.tasks = {side: f"classify(num_classes=10, label='{side}')" for side in ("left", "right")}
    made.batch_size, made.alone_steps, made.steps, made.panel_images = 8, 4, 2, 0
    made.parallel = "mesh(data=1)"
    made.update(changes)
    return made


@pytest.fixture(scope="module")
def study(digits, tmp_path_factory):
    """The workdir of a study that was stopped in its second stage, and what it printed when it went on."""
    workdir = tmp_path_factory.mktemp("study") / "s"
    trained, train = [], loop.train

    def stopping(config, workdir, **kwargs):
        trained.append((workdir.name, config.steps))
        if len(trained) == 2:
            raise loop.Stopped(0)
        return train(config, workdir, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train", stopping)
        with pytest.raises(loop.Stopped):
            studies.run(config(digits), workdir)
        studies.run(config(digits), workdir)
    return workdir, trained


STITCHED = "stitched-rate-100-alpha-0.9-0.1"


def test_the_shipped_config_is_that_of_two_runs(tmp_path):
    made = shipped.get_config()
    first = experiment.build(cross_stitch._first(made))
    second = experiment.build(cross_stitch._second(made, tmp_path, cross_stitch.Variant(tuple(made.alpha), 100.0)))
    assert set(first.transforms) == {"segment", "normals"}
    assert set(second.transforms) == {"segment", "normals", "stitch"}


def test_a_stopped_study_goes_on_where_it_was(digits, tmp_path, monkeypatch):
    """Nothing is trained here: what would be, in which order, from what."""
    trained = []

    def train(config, workdir):
        trained.append((workdir.name, config.steps, config.init_from, config.optimizers.to_dict()))
        if len(trained) == 2:
            raise loop.Stopped(0)
        (workdir / "checkpoints").mkdir(parents=True)
        return {}

    monkeypatch.setattr(loop, "train", train)
    monkeypatch.setattr(cross_stitch, "_show_units", lambda *_: None)
    with pytest.raises(loop.Stopped):
        studies.run(config(digits), tmp_path)
    studies.run(config(digits), tmp_path)
    assert [each[:3] for each in trained] == [("alone", 4, ""), *[(STITCHED, 2, str(tmp_path / "alone"))] * 2]
    assert "sgd(cosine_decay_schedule(3.0, steps)" in trained[-1][3]["stitch"]
    assert "sgd(cosine_decay_schedule(0.03, steps)" in trained[-1][3]["left"]


def test_figures_of_another_config_are_not_taken_for_those_that_are_asked_for(digits, tmp_path, monkeypatch):
    def train(config, workdir):
        config_file.settle(config, workdir)
        (workdir / "checkpoints").mkdir()
        return {"left/error": 1.0}

    monkeypatch.setattr(loop, "train", train)
    monkeypatch.setattr(cross_stitch, "_show_units", lambda *_: None)
    studies.run(config(digits), tmp_path / "s")
    (tmp_path / "s").rename(tmp_path / "moved")
    studies.run(config(digits), tmp_path / "moved")
    for changes, told in (
        ({"steps": 3}, "steps: 2"),
        ({"alone_steps": 5}, "steps: 4"),
        ({"encoder": "MLP((4, 5))"}, "model"),
    ):
        with pytest.raises(UserError, match=f"holds a run of another config(?s:.)*{told}"):
            studies.run(config(digits, **changes), tmp_path / "moved")


@pytest.mark.slow
def test_networks_are_trained_alone_and_then_stitched(study):
    workdir, trained = study
    assert trained == [("alone", 4), (STITCHED, 2), (STITCHED, 2)]
    (step, _), (last, stitched) = newest_variables(workdir / "alone"), newest_variables(workdir / STITCHED)
    assert (step, last) == (4, 2)
    assert stitched["params"]["stitch_layer1"]["alpha"].shape == (2, 2, 4)
    told = json.loads((workdir / STITCHED / "config.json").read_text())
    assert told["init_from"] == str(workdir / "alone")
    assert "sgd(cosine_decay_schedule(3.0, steps)" in told["optimizers"]["stitch"]
    assert "sgd(cosine_decay_schedule(0.03, steps)" in told["optimizers"]["left"]


@pytest.mark.slow
def test_the_units_are_drawn(study):
    with Image.open(study[0] / "stitch.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 50


def test_the_papers_questions_differ_from_the_chosen_way_in_one_thing():
    alone = "networks trained alone"
    heads = [variant.cells for variant in cross_stitch._questions(cross_stitch.Variant((0.9, 0.1), 100.0))]
    assert set(heads) == {
        (alone, "100", "(0.9, 0.1)"),
        (f"{alone}, never stitched", "", ""),
        ("from scratch", "100", "(0.9, 0.1)"),
        *((alone, rate, "(0.9, 0.1)") for rate in ("1", "10", "1000")),
        *((alone, "100", alpha) for alpha in ("(0.5, 0.5)", "(0.7, 0.3)")),
    }
    assert len(heads) == 8


@pytest.mark.slow
def test_the_papers_questions_fill_a_table(study, digits, capsys, monkeypatch):
    workdir, _ = study
    monkeypatch.setattr(cross_stitch, "_RATES", (100.0,))
    monkeypatch.setattr(cross_stitch, "_ALPHAS", ((0.9, 0.1),))
    trained, known = {}, json.loads((workdir / cross_stitch.RESULTS).read_text())["alone"]

    def train(config, workdir):  # not in earnest: two stages have been
        trained[workdir.name] = (config.steps, config.init_from, sorted(config.optimizers))
        return known

    monkeypatch.setattr(loop, "train", train)
    studies.run(config(digits, table=True), workdir)
    assert trained == {
        "unstitched": (2, str(workdir / "alone"), ["left", "right"]),
        "scratch-rate-100-alpha-0.9-0.1": (6, "", ["left", "right", "stitch"]),
    }
    rows = (workdir / "cross_stitch.md").read_text().splitlines()
    assert rows[0].startswith("| start | rate of alpha | alpha at the start | left accuracy (up) | right")
    starts = [row.split("|")[1].strip() for row in rows[2:]]
    assert starts == ["networks trained alone", "networks trained alone, never stitched", "from scratch"]
    told = capsys.readouterr().out
    assert "stage   network  of left" in told
    assert rows[2] in told


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "sgd(0.1)"}, "expected the name `rate`"),
        ({"optimizer": "sgd(rate"}, "is not a call-string"),
        ({"stages": ("layer9",)}, "has no stage 'layer9'"),
        ({"encoder": "MLPP((4,))"}, "'MLPP'; did you mean 'MLP'"),
    ],
)
def test_misuse_is_told_before_anything_is_trained(digits, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        studies.run(config(digits, **changes), tmp_path / "s")
    assert not (tmp_path / "s").exists()
