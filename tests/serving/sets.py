"""Data sets of noise that configs of tests name, and their workdirs: as training leaves them, but without a step."""

import dataclasses
import importlib.util

import ml_collections
import numpy as np
import pytest

import mtljax as mtl
from mtljax.data.scenes.dataset import to_example
from mtljax.data.scenes.render import render_clip
from mtljax.data.scenes.world import CLASSES
from mtljax.train import default_config
from mtljax.train.config import checks, experiment
from mtljax.train.config.default import checked
from mtljax.train.run.checkpoint import CHECKPOINTS, Checkpoints
from mtljax.train.run.start import start
from mtljax.train.run.steps import settle

H, W, N = 16, 24, 10
TASKS = {
    "age": "regress(label='age')",
    "depth": "depth(width=4)",
    "kind": "classify(num_classes=3, label='kind')",
    "points": "keypoints(num_points=2, width=4)",
    "segment": "segment(num_classes=3, width=4)",
}


def needs(*packages):
    """Skips a test where an extra is not installed."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}")


def pictures(frames=1):
    rng = np.random.default_rng(0)
    places = (N, frames, H, W)
    return mtl.data.from_arrays(
        {
            "image": rng.integers(0, 256, (*places, 3), np.uint8),
            "age": rng.uniform(20, 60, N),
            "depth": rng.uniform(0.1, 2, (*places, 1)).astype(np.float32),
            "kind": [("owl", "finch", "wren")[i % 3] for i in range(N)],
            "keypoints": rng.uniform(2, H - 1, (N, frames, 2, 2)).astype(np.float32),
            "semantic": rng.integers(0, 3, (*places, 1)),
        },
        validation=0.5,
    )


def clips():
    return pictures(frames=2)


def vectors():
    rng = np.random.default_rng(0)
    return mtl.data.from_arrays({"image": rng.normal(size=(N, 5)), "age": rng.uniform(20, 60, N)}, validation=0.5)


OBJECTS = {
    "detect": "detect(classes=4, slots=5, width=8)",
    "instances": "instances(width=8)",
    "pose": "pose(width=8)",
    "track": "track(width=8)",
    "trajectory": "trajectory(modes=2, steps=1, history=1, width=8)",
    "moves": "trajectory(name='moves', space='image', modes=2, steps=1, history=1, width=8)",
}
PYRAMID = "FPN(ResNet(depth=10, width=4, norm='group', stem='patch2'), width=8)"


@dataclasses.dataclass
class Solids:
    """Two clips of `scenes`, of 2 frames of 32 x 32 pixels, in every split."""

    name: str = "solids"

    @property
    def meanings(self):
        return {"category": tuple(CLASSES)}

    def split(self, name):
        return [to_example(render_clip(32, 2, 1, "train", i), i) for i in range(2)]


def solids():
    return Solids()


def config(data="pictures", tasks=TASKS, encoder="UNet(width=4, levels=1)"):
    made = default_config()
    made.data = f"tests.serving.sets:{data}()"
    made.tasks = ml_collections.ConfigDict(dict(tasks))
    made.model = f"MultiTask({encoder})"
    made.optimizers = ml_collections.ConfigDict(dict.fromkeys(("shared", *tasks), "adam(1e-3)"))
    made.parallel, made.batch_size, made.baseline_examples = "mesh(data=1)", 4, 4
    return made


def leave(made, workdir):
    """Leaves the state before the first step in a workdir; gives it back."""
    parts = experiment.build(checked(made))
    state, _ = start(parts, checks.fit(parts))
    workdir.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(workdir / CHECKPOINTS)
    checkpoints.save(3, parts.spread.to_disk(state), 0, wait=True)
    checkpoints.close()
    settle(parts, workdir)
    return workdir
