"""A config that trains in a second or two, on a few made digits."""

import ml_collections
import numpy as np
import pytest

from mtljax.train import default_config
from tests.data.sources.test_multi_mnist import write


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """Two steps of a tiny network on twelve pairs of digits; to be copied before it is changed."""
    images = np.random.default_rng(0).integers(0, 256, (12, 28, 28), np.uint8)
    folder = write(tmp_path_factory.mktemp("digits"), "train", images, (np.arange(12) % 10).astype(np.uint8))
    made = default_config()
    made.data = f"multi_mnist({folder!r})"
    made.tasks = {side: f"classify(num_classes=10, label='{side}')" for side in ("left", "right")}
    made.optimizers = dict.fromkeys(("shared", "left", "right"), "adam(1e-3)")
    made.model = "MultiTask(MLP((4,)))"
    made.balance = "uncertainty()"
    made.batch_size, made.steps, made.panel_images = 8, 2, 0
    made.parallel = "mesh(data=1)"  # compiles in less time than for eight devices
    return made


def changed(config, **changes):
    """A copy of a config with other values."""
    other = ml_collections.ConfigDict(config.to_dict())
    for key, value in changes.items():
        other[key] = ml_collections.ConfigDict(value) if isinstance(value, dict) else value
    return other
