"""What a picture of a run is drawn of."""

import types

import numpy as np

import mtljax as mtl
from mtljax.train.run.panel import draw_panel, names_of


def test_names_of_classes_are_those_that_the_data_tells():
    said = {"category": ("none", "cat"), "semantic": ("sky", "sea"), "edge": "where depth jumps"}
    parts = types.SimpleNamespace(
        labels=("instances", "semantic", "depth", "edge", "kind"), data=types.SimpleNamespace(meanings=said)
    )
    batch = {
        "instances": {"bboxes": np.zeros((1, 2, 4)), "category": np.ones((1, 2), np.int32)},
        "semantic": np.zeros((1, 1, 4, 4, 1), np.int32),
        "depth": np.zeros((1, 1, 4, 4, 1)),
        "edge": np.zeros((1, 1, 4, 4, 1)),
    }
    assert names_of(parts, batch) == {"instances": ["none", "cat"], "semantic": ["sky", "sea"]}


def test_tasks_draw_with_the_names_of_classes(tmp_path):
    seen = []

    def draw(prediction, batch):
        seen.append(batch["names"])
        return prediction, prediction

    task = mtl.Task(**{**vars(mtl.tasks.depth()), "draw": draw})
    batch = {"image": np.zeros((2, 1, 8, 8, 3), np.float32)}
    pictures = {"depth": np.zeros((2, 1, 8, 8, 3), np.uint8)}
    draw_panel(tmp_path / "panel.png", batch, pictures, {"depth": task}, 1, {"instances": ["none", "cat"]})
    assert seen == [{"instances": ["none", "cat"]}]
    assert (tmp_path / "panel.png").is_file()
