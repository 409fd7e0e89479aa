"""The config of objects on a few small clips: what is tried before it trains, and in the slow test a run to its end."""

import dataclasses
import json
import math
import pathlib
import runpy

import numpy as np
import pytest

from mtljax import data
from mtljax.data.scenes.dataset import to_example
from mtljax.data.scenes.render import render_clip
from mtljax.errors import UserError
from mtljax.train.config import checks
from mtljax.train.config import default as run_config
from mtljax.train.config.experiment import build
from mtljax.train.run import inputs_file, loop

CONFIG = pathlib.Path(__file__).parents[3] / "configs" / "objects.py"
NUMBER, FRAMES, SIZE = 2, 12, 32
CLIPS = [to_example(render_clip(SIZE, FRAMES, 1, "train", i), i) for i in range(NUMBER)]


@dataclasses.dataclass
class Few:
    """Two clips for training, the same for validation."""

    frames: int = FRAMES
    name: str = "few"

    def split(self, name):
        return [self._cut(clip) for clip in CLIPS]

    def _cut(self, clip):
        if self.frames == FRAMES:
            return clip
        n = self.frames
        cut = {key: x[:n] if np.ndim(x) and len(x) == FRAMES else x for key, x in clip.items()}
        objects = {key: x[:, :n] if x.shape[1:2] == (FRAMES,) else x for key, x in clip["instances"].items()}
        camera = {key: x[:n] if len(x) == FRAMES else x for key, x in clip["camera"].items()}
        return {**cut, "instances": objects, "camera": camera}


@pytest.fixture
def config(monkeypatch):
    monkeypatch.setitem(data.SOURCES, "few", Few)
    made = runpy.run_path(str(CONFIG))["get_config"]()
    made.data, made.parallel = "few()", "mesh(data=1)"
    made.model = "MultiTask(encoder=FPN(encoder=ViT(size='Ti', depth=1, patch=4), width=8, stride=4))"
    made.batch_size, made.steps = 2, 1
    return made


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("detect", r"task 'detect': category \d in 'instances' .*; detect.classes=2. has 1 to 2"),
        ("track", "track wants clips of at least 2 frames; the data has 1"),
    ],
)
def test_what_does_not_fit_is_told_before_a_run_trains(config, task, message):
    frames = {"detect": FRAMES, "track": 1}[task]
    config.data, config.augment = f"few({frames})", ""
    needed = {"detect": ["detect"], "track": ["detect", "track"]}[task]
    config.tasks = {name: config.tasks[name] for name in needed}
    config.optimizers = {name: "sgd(0.1)" for name in ("shared", *needed)}
    if task == "detect":
        config.tasks["detect"] = "detect(classes=2)"
    parts = build(run_config.checked(config))
    with pytest.raises(UserError, match=message):
        checks.notes(parts, checks.fit(parts))


@pytest.mark.slow
def test_all_five_tasks_fit_each_other_and_their_data_and_a_run_trains_evaluates_and_draws(config, tmp_path, capsys):
    found = loop.train(run_config.checked(config), tmp_path / "run")
    said = capsys.readouterr()
    assert "warning" not in said.err
    inputs = json.loads((tmp_path / "run" / inputs_file.INPUTS_FILE).read_text())
    assert set(inputs["labels"]["instances"]["arrays"]) >= {"bboxes", "category"}
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert math.isfinite(found["detect/AP"])
    assert (tmp_path / "run" / "panel.png").stat().st_size > 1000
    constant = [line for line in lines if line["split"] == "constant"][-1]
    assert {"detect/AP", "instances/PQ", "pose/ADD_S", "track/HOTA", "trajectory/ADE"} <= constant.keys()
    assert np.isfinite(constant["detect/AP"])
    assert "track       HOTA (up)" in said.out
