"""The loss of each image, as the run was given it."""

import types

import numpy as np

from mtljax.train.run import image_losses
from tests.data.test_hidden import Clips


def test_the_image_is_what_the_run_was_given():
    given = []

    def step(batch):
        given.append(batch["image"].shape)
        ones = np.ones(len(batch["image"]))
        return {"a": (2 * ones, ones)}

    config = types.SimpleNamespace(batch_size=2, loader_threads=0, input="depth")
    data = types.SimpleNamespace(split=lambda name: Clips(3))
    parts = types.SimpleNamespace(data=data, labels=("depth",), tasks={"a": None}, config=config)
    found = image_losses._of_split(parts, "validation", step)
    assert given == [(2, 1, 2, 2, 1)] * 2  # the depth, of one channel
    assert found == {"losses": {"a": [2.0] * 3}, "mean": {"a": 2.0}}
