"""Where a run begins: at the start, from another run or from pretrained weights; or at its newest checkpoint."""

import pathlib
from typing import Any

import numpy as np

from mtljax.data.pipeline import inputs_of
from mtljax.models.heads.frozen import FROZEN
from mtljax.train.config import experiment
from mtljax.train.config.checks import Fitted, fit
from mtljax.train.config.default import checked
from mtljax.train.config.parts import Experiment
from mtljax.train.run import frozen_networks, initial
from mtljax.train.run.checkpoint import CHECKPOINTS, Restored, finished, folder_of, none_there, restore
from mtljax.train.run.config_file import CONFIG_FILE, load
from mtljax.train.spread import hosts
from mtljax.train.step.state import TrainState, create


def start(parts: Experiment, fitted: Fitted, workdir: pathlib.Path | None = None) -> tuple[TrainState, str]:
    """The state before the first step, placed as steps want it, and lines that say what it was started from, if any.

    Args:
        parts: of the run.
        fitted: what is known of them, from `checks.fit`.
        workdir: where a checkpoint may be; where there is one, nothing is read from elsewhere, since `resume` will give
            the state.

    Raises:
        UserError: where the config names another run or pretrained weights that cannot be read or do not fit.
    """
    images = inputs_of(dict(fitted.sample))
    begins = workdir is None or not finished(workdir / CHECKPOINTS)
    elsewhere = begins and (parts.config.pretrained or parts.config.init_from)
    if FROZEN not in fitted.shapes and not elsewhere:
        return parts.first_state(images, fitted.optimizer), ""
    variables, told = dict(parts.init(images)), ""
    frozen = variables.pop(FROZEN, {})
    if elsewhere:
        variables, told = _from_elsewhere(parts, fitted, variables)
    if frozen:
        variables = {**variables, FROZEN: frozen_networks.filled(parts, frozen, workdir, newest_variables)}
    return parts.spread.place_state(create(variables, parts.balancer, fitted.optimizer)), told


def resume(
    parts: Experiment, state: TrainState, workdir: pathlib.Path, only: int | None = None, which: str = "newest"
) -> Restored | None:
    """The newest checkpoint in a workdir, its state placed as steps want it; the workdir is only read.

    Args:
        parts: of the run.
        state: of the wanted shapes and placement, as `start` gives it.
        workdir: of the run.
        only: the one step whose checkpoint is wanted, if not the newest.
        which: `newest`, or `best`.

    Returns:
        What was saved; None where there is no checkpoint.

    Raises:
        UserError: where there are checkpoints but none can be read, or the newest that can holds another state.
    """
    found = restore(folder_of(workdir, which), parts.spread.to_disk(frozen_networks.without(state)), only)
    if found is None:
        return None
    placed = parts.spread.place_state(found.state)
    return found._replace(state=frozen_networks.with_those_of(placed, state))


def newest(parts: Experiment, workdir: pathlib.Path, only: int | None = None, which: str = "newest") -> Restored:
    """The newest checkpoint in a workdir, that of one step, or the `best`, its state placed as steps want it.

    Raises:
        UserError: where there is none, or none that can be read and fits the parts; or where parts do not fit.
    """
    state, _ = start(parts, fit(parts), workdir)
    found = resume(parts, state, workdir, only, which)
    if found is None:
        raise none_there(workdir, which)
    return found


def newest_variables(workdir: pathlib.Path, only: int | None = None) -> tuple[int, dict[str, Any]]:
    """The step and the variables of the newest checkpoint of a run, or of that of one step.

    Raises:
        UserError: where there is none.
    """
    parts = experiment.build(checked(load(workdir / CONFIG_FILE)))
    restored = newest(parts, workdir, only)
    state = restored.state
    return restored.step, hosts.whole({"params": state.params, **state.model_state})


def _from_elsewhere(parts: Experiment, fitted: Fitted, variables: Any) -> tuple[Any, str]:
    """Variables, some of them pretrained or of another run where the config says so; and what is told of that."""
    config, notes = parts.config, []
    if config.pretrained:
        shape = np.shape(fitted.sample.get("image", ()))
        size = (shape[-3], shape[-2]) if len(shape) > 3 else None
        variables, note = initial.from_file(config.pretrained, parts.model, variables, size)
        notes.append(note)
    if config.init_from:
        other = experiment.build(checked(load(pathlib.Path(config.init_from).expanduser() / CONFIG_FILE))).model
        initial.check_normalised(config.init_from, other, parts.model, config.model)
        variables, note = initial.from_run(config.init_from, variables, newest_variables)
        notes.append(note)
    return variables, "".join(f"started from {note}\n" for note in notes)
