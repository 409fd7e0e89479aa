"""Every config in configs/ can be built, and the one for TensorFlow Datasets trains on data prepared by its builder."""

import json
import pathlib
import runpy

import pytest

from mtljax import data
from mtljax.errors import UserError
from mtljax.models import heads
from mtljax.train.config import default as run_config
from mtljax.train.config.callstring import resolve
from mtljax.train.config.experiment import build
from mtljax.train.run import loop

CONFIGS = pathlib.Path(__file__).parent.parent / "configs"


def load(name):
    return runpy.run_path(str(CONFIGS / f"{name}.py"))["get_config"]()


RUNS = sorted(p.stem for p in CONFIGS.glob("*.py") if p.stem != "from_workdir" and "config.study" not in p.read_text())


@pytest.mark.parametrize("name", RUNS)
def test_every_config_builds(name):
    parts = build(run_config.checked(load(name)))
    without_parameters = {name for name, task in parts.tasks.items() if task.head == heads.Parents()}
    assert set(parts.transforms) == {"shared", *parts.tasks} - without_parameters


def test_streets_and_a_kitchen_are_two_folders_in_one_argument():
    get_config = runpy.run_path(str(CONFIGS / "street_and_kitchen.py"))["get_config"]
    mixed = resolve(get_config("some/streets;a kitchen").data, data.SOURCES, kind="data")
    assert {key: part.name for key, part in mixed.sets.items()} == {
        "street": "camvid/streets",
        "kitchen": "rgbd/a kitchen",
    }
    for wrong in ("some/streets", "some/streets;", ";a kitchen"):
        with pytest.raises(UserError, match="expected the folders of CamVid and of the kitchen"):
            get_config(wrong)


@pytest.mark.slow
def test_a_data_set_of_tfds_trains_and_evaluates(cifar100_dir, tmp_path, capsys):
    config = load("cifar100")
    config.data = config.data.replace("tfds('cifar100'", f"tfds('cifar100', data_dir={cifar100_dir!r}")
    config.model = "MultiTask(encoder=MLP([16]))"
    config.batch_size, config.steps, config.seed = 8, 3, 1
    loop.train(config, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    [validation] = [line for line in lines if line["split"] == "validation"]
    assert {"fine/accuracy", "fine/top5", "coarse/accuracy"} <= validation.keys()
    assert "coarse" in capsys.readouterr().out
    evaluated = loop.evaluate(config, tmp_path / "run")
    assert evaluated["fine/loss"] == validation["fine/loss"]
