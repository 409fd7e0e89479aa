"""State, step, the ways to spread it over devices, checkpoints, the loop."""

from mtljax.train.config.default import default_config
from mtljax.train.spread.parallel import Spread, mesh, pmap
from mtljax.train.step.state import TrainState, create, partition
from mtljax.train.step.step import make_eval_step, make_train_step

__all__ = [
    "Spread",
    "TrainState",
    "create",
    "default_config",
    "make_eval_step",
    "make_train_step",
    "mesh",
    "partition",
    "pmap",
]
