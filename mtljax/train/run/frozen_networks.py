"""Networks that stand still in a run: read from their workdirs, and known by step and checksum from then on."""

import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from mtljax.errors import UserError
from mtljax.models.heads.frozen import FROZEN, Frozen
from mtljax.train.config.parts import Experiment
from mtljax.train.run.checkpoint import CHECKPOINTS, finished
from mtljax.train.run.workdir import replace_text, unwritable
from mtljax.train.step.state import TrainState

FILE = "frozen.json"

Load = Callable[[pathlib.Path, int | None], tuple[int, Mapping[str, Any]]]


class Known(NamedTuple):
    """A network, as a run knows it.

    Attributes:
        workdir: of the run that trained it.
        step: of its checkpoint.
        checksum: of its variables.
    """

    workdir: str
    step: int
    checksum: str


def networks_of(parts: Experiment) -> dict[str, Any]:
    """Task -> the network that its head holds, of those that hold one."""
    return {name: task.head.network for name, task in parts.tasks.items() if isinstance(task.head, Frozen)}


def filled(parts: Experiment, frozen: Any, workdir: pathlib.Path | None, load: Load) -> dict[str, Any]:
    """The networks that stand still in a model; they are read once for all runs of a config.

    Args:
        parts: of the run.
        frozen: the model's collection of them, of zeros.
        workdir: of the run; where it has been started before, networks are those that it was started with.
        load: gives the step and the variables of a checkpoint of a workdir: the newest, or that of a step.

    Raises:
        UserError: for a workdir without a checkpoint, or a network that is not what it was when the run started, or of
            another shape.
    """
    before = {} if workdir is None else known(workdir)
    found = {}
    for task, network in networks_of(parts).items():
        was = before.get(task)
        was = was if was is not None and was.workdir == network.workdir else None
        step, variables = _read(parts, network.workdir, None if was is None else was.step, load)
        now = Known(network.workdir, step, checksum(variables))
        if was is not None and was != now:
            raise UserError(
                f"task {task!r}: the frozen network {network.workdir!r} changed: at step {step} it has the checksum "
                f"{now.checksum}, and had {was.checksum} when this run was started. Expected the files of then."
            )
        _check_shapes(network.workdir, frozen[f"heads_{task}"]["variables"], variables)
        found[f"heads_{task}"] = {"variables": jax.tree.map(np.asarray, dict(variables))}
        parts.programs[_known_key(task)] = now
    return found


def known(workdir: pathlib.Path) -> dict[str, Known]:
    """Task -> the network that a run was started with; none where there is no record of them.

    Raises:
        UserError: where it cannot be read.
    """
    file = workdir / FILE
    try:
        return {task: Known(**found) for task, found in json.loads(file.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"cannot read {str(file)!r}: {error}.") from error


def note(parts: Experiment, workdir: pathlib.Path) -> None:
    """Leaves in a workdir which networks the run was started with.

    Raises:
        UserError: where it cannot be written.
    """
    found = {task: parts.programs[_known_key(task)] for task in networks_of(parts)}
    if found == known(workdir):
        return
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        replace_text(
            workdir / FILE, json.dumps({task: network._asdict() for task, network in found.items()}, indent=2) + "\n"
        )
    except OSError as error:
        raise unwritable(workdir, error) from error


def without(state: TrainState) -> TrainState:
    """A state as checkpoints hold it."""
    return state.replace(model_state={name: tree for name, tree in state.model_state.items() if name != FROZEN})


def with_those_of(state: TrainState, other: TrainState) -> TrainState:
    """A state that a checkpoint held, with the networks of another."""
    kept = {name: tree for name, tree in other.model_state.items() if name == FROZEN}
    return state.replace(model_state={**state.model_state, **kept})


def checksum(variables: Mapping[str, Any]) -> str:
    """A checksum of all numbers of a network and of their places: 16 hexadecimal digits.

    Example:
        >>> a, b = np.zeros(2, np.float32), np.ones(2, np.float32)
        >>> checksum({"a": a, "b": b}) == checksum({"a": a, "b": b.copy()}) != checksum({"a": b, "b": a})
        True
    """
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:16]


def _read(parts: Experiment, workdir: str, step: int | None, load: Load) -> tuple[int, Mapping[str, Any]]:
    folder = pathlib.Path(workdir).expanduser()
    there = finished(folder / CHECKPOINTS)
    if step is not None and step not in there:
        raise UserError(
            f"the frozen network {workdir!r} has no checkpoint of step {step} any more, with which this run was "
            f"started (it has {', '.join(map(str, there)) or 'none'}); expected the files of then."
        )
    key = f"{FROZEN}:{workdir}:{step if step is not None else max(there, default=None)}"
    if key not in parts.programs:
        parts.programs[key] = load(folder, step)
    return parts.programs[key]


def _known_key(task: str) -> str:
    return f"{FROZEN}:{task}"


def _check_shapes(workdir: str, expected: Any, found: Any) -> None:
    def described(tree: Any) -> dict[str, tuple[int, ...]]:
        return {jax.tree_util.keystr(path): x.shape for path, x in jax.tree_util.tree_leaves_with_path(tree)}

    here, there = described(expected), described(found)
    for name in sorted(here.keys() | there.keys()):
        if here.get(name) != there.get(name):
            raise UserError(
                f"the frozen network {workdir!r}: {name} has shape {there.get(name)} in its checkpoint, but "
                f"{here.get(name)} by its config."
            )
