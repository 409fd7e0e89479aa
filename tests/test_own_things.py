"""What a user brings, from a folder of their own: data, task and encoder beside the config, tasks by flag, mistakes."""

import json
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image

from mtljax.train.config import checks
from mtljax.train.config.default import checked
from mtljax.train.config.experiment import build
from tests import runs

MODULE = """
    import flax.linen as nn
    import mtljax as mtl
    import numpy as np


    def numbers(size=40):
        rng = np.random.default_rng(0)
        return mtl.data.from_arrays(
            {"x": rng.normal(size=(size, 6)).astype(np.float32), "kind": np.arange(size) % 3, "age": rng.normal(size=size)},
            inputs=["x"],
        )


    class Encoder(nn.Module):
        @nn.compact
        def __call__(self, inputs):
            return nn.Dense(4)(inputs["x"])


    def falling(factor=1.0):
        raise RuntimeError("no such luck")
"""
CONFIG = """
    from mtljax.train import default_config


    def get_config():
        config = default_config()
        config.data = "my_things:numbers()"
        config.model = "MultiTask(my_things:Encoder())"
        config.tasks = {"kind": "classify(num_classes=3, label='kind')"}
        config.optimizers = {"shared": "adam(1e-2)", "kind": "adam(1e-2)"}
        config.batch_size, config.steps, config.log_every = 8, 2, 1
        return config
"""


@pytest.fixture
def ran(tmp_path, compiled):
    """Runs the package in another folder than that of the config; gives the status and what was printed."""
    folder, elsewhere = tmp_path / "mine", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "my_things.py").write_text(textwrap.dedent(MODULE))
    (folder / "experiment.py").write_text(textwrap.dedent(CONFIG))

    def run(*arguments, config=True):
        given = [f"--config={folder / 'experiment.py'}"] if config else []
        command = [sys.executable, "-P", "-m", "mtljax", *given, *arguments]
        done = subprocess.run(
            command, cwd=elsewhere, env=runs.environment(compiled), capture_output=True, text=True, timeout=runs.WAIT
        )
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.mark.slow
def test_a_run_finds_what_lies_beside_its_config_and_finds_it_again(ran, tmp_path):
    workdir = tmp_path / "run"
    added = ("--config.tasks.age=regress(label='age')", "--config.tasks.kind=")
    status, out, err = ran(f"--workdir={workdir}", *added)
    assert status == 0, err
    assert "arrays: train 32, validation 8\n  kind: class\n  age: number\n" in out
    kept = json.loads((workdir / "config.json").read_text())
    assert kept["modules"] == str(tmp_path / "mine")
    assert (kept["tasks"], kept["optimizers"].keys()) == ({"age": "regress(label='age')"}, {"shared", "age"})
    status, out, err = ran("--mode=eval", f"--workdir={workdir}", config=False)
    assert status == 0, err
    assert json.loads(out.splitlines()[-1])["step"] == 2
    from_there = ran(f"--workdir={tmp_path / 'next'}", *added, f"--config.init_from={workdir}", "--config.steps=1")
    assert from_there[0] == 0, from_there[2]
    status, _, err = ran(f"--workdir={tmp_path / 'none'}", "--config.balance=my_things:falling()")
    assert status == 2
    place = rf"{re.escape(str(tmp_path / 'mine' / 'my_things.py'))}, line \d+, in falling"
    assert re.search(
        rf"error: balancer 'my_things:falling\(\)': RuntimeError: no such luck \({place}\)\.$", err.strip()
    )


def test_a_folder_and_a_table_are_ten_lines(tmp_path, monkeypatch):
    """Those of the documentation."""
    text = (runs.ROOT / "docs" / "data.md").read_text()
    [code] = re.findall(r"```python\n(from mtljax.train import default_config\n.*?)```", text, re.DOTALL)
    assert len([line for line in code.splitlines() if line]) <= 10
    folder = tmp_path / "birds"
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = ["file,age,kind"]
    for i in range(30):
        Image.fromarray(rng.integers(0, 255, (40, 50, 3)).astype(np.uint8)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,{i % 4 or ''},{('owl', 'finch', 'wren')[i % 3]}")
    (folder / "labels.csv").write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)
    space = {}
    exec(code, space)
    parts = build(checked(space["get_config"]()))
    assert "age: number; missing in 8 of 30 rows\n  kind: classes 0 finch, 1 owl, 2 wren" in str(parts.data)
    assert checks.notes(parts, checks.fit(parts)) == []
