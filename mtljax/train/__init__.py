"""State, step, the ways to spread it over devices, checkpoints, the loop.

Four floors; each imports those before it, and none after it:

    step      what one replica does: state, gradients, the training step and the evaluation step
    spread    how that runs on many devices and hosts
    config    what a config names: the parts of a run (`experiment.build`), checked against each other (`checks.fit`)
    run       a run of those parts: start or resume (`start`), train, evaluate, and what it leaves in its workdir

The config goes down once: it is checked, its parts are built of it, and from there on the parts are what is passed on.

A notebook does it step by step; `loop.train(config, workdir)` does this and more::

    parts = experiment.build(default.checked(config))
    fitted = checks.fit(parts)
    state, _ = start(parts, fitted)
    step = parts.train_step(fitted.optimizer)
    for batch in parts.train_batches():
        state, report = step(state, parts.spread.place_batch(batch))
"""

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
