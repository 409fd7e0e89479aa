"""A config that trains in a second, on pairs of digits that a test made: `--config=.../digits_config.py:FOLDER`."""

import numpy as np

from mtljax.train import default_config
from tests.data.sources.test_multi_mnist import write


def get_config(folder="nowhere"):
    made = default_config()
    made.data = f"multi_mnist({str(folder)!r})"
    made.model = "MultiTask(encoder=MLP([4]))"
    made.tasks = {side: f"classify(num_classes=10, label='{side}')" for side in ("left", "right")}
    made.optimizers = {group: "adam(1e-2)" for group in ("shared", "left", "right")}
    made.batch_size, made.steps, made.panel_images, made.log_every = 8, 3, 0, 1
    return made


def write_digits(folder):
    """A folder of twelve made digits."""
    images = np.random.default_rng(0).integers(0, 256, (12, 28, 28), np.uint8)
    return write(folder, "train", images, (np.arange(12) % 10).astype(np.uint8))
