"""The small config on frames with planted faults: `--config=tests/faulty_config.py:FOLDER`, `--config.data=faulty(...)`."""

import jax.numpy as jnp
import numpy as np

from mtljax import data, tasks
from mtljax.data import rgbd
from mtljax.errors import UserError
from tests import small_config

BAD = 5  # the index of the training example that a fault strikes


class Faulty:
    """Frames of a folder, of whose training examples one is faulty, or all lack depth."""

    def __init__(self, path: str, fault: str = "") -> None:
        self.name, self._frames, self._fault = "faulty", rgbd(path), fault

    def split(self, name):
        source = self._frames.split(name)
        return FaultySource(source, self._fault) if name == "train" else source


class FaultySource:
    """See `Faulty`."""

    def __init__(self, source, fault):
        self._source, self._fault = source, fault

    def __len__(self):
        return len(self._source)

    def __getitem__(self, index):
        example = dict(self._source[index])
        example["image"] = example["image"].astype(np.float32) / 255
        if self._fault == "absent":
            example["depth_valid"] = np.zeros_like(example["depth_valid"])
        if int(index) != BAD:
            return example
        if self._fault == "nan_image":
            example["image"] = np.full_like(example["image"], np.nan)
        elif self._fault == "inf_label":
            example["depth"] = np.full_like(example["depth"], np.inf)
        elif self._fault == "nan_gradient":
            example["depth"] = np.full_like(example["depth"], 1e6)  # what `broken_depth` breaks at
        elif self._fault == "record":
            raise UserError(f"record {index} does not decode.")
        return example


def broken_depth(name: str = "depth", width: int = 64):
    """Depth, with a finite loss whose gradient is not a number where a label is over 1e5 metres."""
    whole = tasks.depth(name=name, width=width)

    def loss(prediction, batch):
        total, count = whole.loss(prediction, batch)
        struck = jnp.any(batch["depth"] > 1e5)
        return total + jnp.sqrt(0.0 * jnp.sum(prediction) + jnp.where(struck, 0.0, 1.0)) * 0.0, count

    return tasks.Task(**{**vars(whole), "loss": loss})


def get_config(folder="nowhere"):
    if folder == "code":
        int("many")
    data.SOURCES["faulty"] = Faulty
    tasks.FACTORIES["broken_depth"] = tasks.broken_depth = broken_depth
    config = small_config.get_config(folder)
    config.data = f"faulty({folder!r})"
    config.eval_every = 1000
    return config
