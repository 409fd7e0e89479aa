"""Checkpoints, through Orbax: the training state and the position in the data."""

import functools
import pathlib
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import jax
from orbax.checkpoint import v1 as ocp

from mtljax.errors import UserError, unknown
from mtljax.train.run import difference
from mtljax.train.run.workdir import Checksums
from mtljax.train.spread import hosts

CHECKPOINTS = "checkpoints"  # the folder in a workdir
BEST = "best"  # that of the checkpoint of the best evaluation
_FOLDERS = {"newest": CHECKPOINTS, "best": BEST}
AFFINITY = "affinity"  # what a checkpoint has beside the state, where it was measured
_VARIABLES = ("params", "model_state")  # parts of a state that a model predicts with


class Restored(NamedTuple):
    """What a checkpoint held.

    Attributes:
        state: of the training.
        step: that it was saved after.
        examples: seen until then, on all hosts together.
        affinity: the means of affinities, as `mtljax.train.run.affinity.Means` keeps them; None where none were kept.
    """

    state: Any
    step: int
    examples: int
    affinity: Any = None


def folder_of(workdir: pathlib.Path, which: str = "newest") -> pathlib.Path:
    """The folder of a workdir's checkpoints: of the newest few, or of the `best`.

    Raises:
        UserError: for another word.
    """
    if which not in _FOLDERS:
        raise unknown("checkpoint", which, _FOLDERS)
    return workdir / _FOLDERS[which]


def none_there(workdir: pathlib.Path, which: str = "newest") -> UserError:
    """What is said where a workdir has no such checkpoint."""
    kept = "config.keep_best, such as 'depth/AbsRel', keeps it at evaluations" if which == "best" else "train first"
    return UserError(
        f"no {'best ' if which == 'best' else ''}checkpoint in {str(folder_of(workdir, which))!r}; {kept}."
    )


def finished(directory: pathlib.Path) -> list[int]:
    """The steps of the finished checkpoints in a folder, oldest first; none where there is no such folder."""
    try:
        return sorted(int(path.name) for path in directory.iterdir() if re.fullmatch("[0-9]+", path.name))
    except (FileNotFoundError, NotADirectoryError):
        return []


def restore(directory: pathlib.Path, state: Any, only: int | None = None) -> Restored | None:
    """Loads the newest checkpoint that can be read, says which could not, and leaves the folder as it is.

    A run may be writing to it meanwhile: where that drops the checkpoint at hand, a newer one is taken.

    Args:
        directory: of the checkpoints, one folder a step.
        state: a state of the wanted shapes and placement, which may be others than those of the run that saved it.
        only: the one step to load.

    Returns:
        What was saved; None where there is no checkpoint.

    Raises:
        UserError: where there are checkpoints but none can be read, or the newest that can holds another state.
    """
    return _newest(directory, lambda folder: _load(folder, state), only, lambda folder: _check_fits(folder, state))


def restore_variables(directory: pathlib.Path) -> tuple[int, dict[str, Any]] | None:
    """The variables of a model alone, as the newest checkpoint that can be read holds them; on the first device.

    Neither the run's data nor its optimiser need be there.

    Args:
        directory: of the checkpoints, one folder a step.

    Returns:
        The step, and collection -> tree; None where there is no checkpoint.

    Raises:
        UserError: where there are checkpoints but none can be read.
    """
    return _newest(directory, lambda folder: (int(folder.name), _load_variables(folder)))


def _newest(
    directory: pathlib.Path,
    load: Callable[[pathlib.Path], Any],
    only: int | None = None,
    check_fits: Callable[[pathlib.Path], None] = lambda folder: None,
) -> Any:
    """What is loaded of the newest checkpoint that can be read; None where there is none.

    Of several hosts, one that all of them can read: what one alone cannot is left by all, which else would wait for it,
    and what does not fit on one is refused by all, before they load it together.
    """
    directory = directory.absolute()
    tried: list[int] = []
    while True:
        there = set(finished(directory)) - set(tried)
        step = hosts.of_first(max(there if only is None else there & {only}, default=-1))
        if step < 0:
            break
        folder = directory / str(step)
        found, error = _tried(lambda step=step, folder=folder: (Checksums(directory).check(step), check_fits(folder)))
        if error is None:
            found, error = _tried(functools.partial(load, folder))
        if error is None:
            return found
        tried.append(step)
        if max(finished(directory), default=-1) <= max(tried):  # else it was dropped for a newer one
            _tell_unreadable(folder, error)
    if tried:
        raise UserError(f"none of the checkpoints {sorted(tried)} in {directory} can be read.")
    return None


def _tried(read: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """What is read, or the error with which it cannot be: an error on every host where there is one on any.

    Raises:
        UserError: where one of the hosts does.
    """
    found, failed = None, None
    try:
        found = read()
    except Exception as error:  # A damaged file can surface as almost any error of Orbax or tensorstore.
        if hosts.tells_of_loss(error):
            raise
        failed = error
    hosts.raised_by_all(failed if isinstance(failed, UserError) else None)
    if hosts.anywhere(failed is not None):
        return None, failed or OSError("another process cannot read it")
    return found, None


def _load_variables(folder: pathlib.Path) -> dict[str, Any]:
    place = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])

    def wanted(path: Any, leaf: Any) -> Any:
        if path[0].key not in _VARIABLES:
            return ...  # Orbax leaves it unread
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)

    there = ocp.checkpointables_metadata(str(folder)).metadata["state"]
    state = ocp.load_checkpointables(str(folder), {"state": jax.tree_util.tree_map_with_path(wanted, there)})["state"]
    params, others = (state.get(key) or {} for key in _VARIABLES)
    return {"params": jax.block_until_ready(params), **others}


def _load(folder: pathlib.Path, state: Any) -> Restored:
    # One after the other: where two are loaded together and one fails, the other is left hanging.
    examples = ocp.load_checkpointables(str(folder), {"data": {"examples": 0}})["data"]["examples"]
    loaded = ocp.load_checkpointables(str(folder), {"state": state})["state"]
    jax.block_until_ready(jax.tree.leaves(loaded))
    affinity = None
    if AFFINITY in ocp.checkpointables_metadata(str(folder)).metadata:
        affinity = ocp.load_checkpointables(str(folder), {AFFINITY: None})[AFFINITY]
    return Restored(loaded, int(folder.name), int(examples), affinity)


def _check_fits(folder: pathlib.Path, state: Any) -> None:
    there = difference.shapes(ocp.checkpointables_metadata(str(folder)).metadata["state"])
    now = difference.shapes(state)
    lines = difference.differences(there, now)
    if not lines:
        return
    workdir = str(folder.parent.parent)
    if difference.can_start_from(there, now):
        way = f"--config.init_from={workdir} with another --workdir starts from the parameters that both have"
    else:
        way = "another --workdir starts from none of it (init_from needs parameters of the same name and shape)"
    raise UserError(
        f"checkpoint {folder} can be read, but not into the state that this config makes:\n{difference.told(lines)}\n"
        f"Nothing was changed. The config it was saved with goes on from it; {way}."
    )


def _tell_unreadable(folder: pathlib.Path, error: Exception) -> None:
    reason = str(error).strip().split("\n")[0][:200]
    print(
        f"checkpoint {folder} cannot be read ({type(error).__name__}: {reason}); falling back to the one before.",
        file=sys.stderr,
    )


class _Chosen:
    """Orbax's policy that keeps one step."""

    def __init__(self, chosen: Callable[[], int | None]) -> None:
        self._chosen = chosen

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:
        """Which of the checkpoints stay."""
        del context
        return [checkpoint.step == self._chosen() for checkpoint in checkpoints]


class Checkpoints:
    """The checkpoints of one run, the newest few of them kept, or one that is chosen.

    For the one process that trains, or for all of them together: what a killed run has left half written is removed.
    Those that only read use `restore`.

    Saves are asynchronous: the state is copied before `save` returns, and written while training goes on.

    Args:
        directory: where they are; made when missing.
        keep: how many.
        chosen: gives the one step to keep, instead.
    """

    def __init__(
        self, directory: pathlib.Path, keep: int = 3, *, chosen: Callable[[], int | None] | None = None
    ) -> None:
        self._directory = directory.absolute()
        policy: Any = _Chosen(chosen) if chosen else ocp.training.preservation_policies.LatestN(keep)
        self._checksums = Checksums(self._directory)
        self._orbax = ocp.training.Checkpointer(
            str(self._directory), preservation_policy=policy, cleanup_tmp_directories=True
        )

    @property
    def steps(self) -> list[int]:
        """The steps of the finished checkpoints, oldest first."""
        return sorted(checkpoint.step for checkpoint in self._orbax.checkpoints)

    def save(self, step: int, state: Any, examples: int, *, wait: bool = False, affinity: Any = None) -> None:
        """Saves a state and how many examples it has seen; with `wait`, returns when they are on disk.

        Args:
            step: that the state is of.
            state: of the training.
            examples: seen until then, on all hosts together.
            wait: whether to return when all is on disk.
            affinity: means of affinities, a tree of NumPy arrays that nobody changes; None for none.

        Raises:
            UserError: where this or an earlier save could not be written.
        """
        try:
            self._orbax.wait()
            if hosts.first():
                self._checksums.forget(step)
            beside = {} if affinity is None else {AFFINITY: affinity}
            self._orbax.save_checkpointables_async(
                step, {"state": state, "data": {"examples": examples}, **beside}, force=True, overwrite=True
            )
            if wait:
                self._orbax.wait()
                self._seal()
        except (OSError, ValueError, RuntimeError) as error:
            self._raise_unwritable(step, error)

    def restore(self, state: Any) -> Restored | None:
        """Loads the newest that can be read; see the function `restore`."""
        return restore(self._directory, state)

    def close(self) -> None:
        """Waits for what is being written.

        Raises:
            UserError: where it could not be written.
        """
        try:
            self._orbax.close()
            self._seal()
        except (OSError, ValueError, RuntimeError) as error:
            self._raise_unwritable(None, error)

    def _seal(self) -> None:
        if hosts.first():
            self._checksums.seal(self.steps)

    def _raise_unwritable(self, step: int | None, error: Exception) -> NoReturn:
        if hosts.tells_of_loss(error):
            raise error
        which = "the last checkpoint" if step is None else f"a checkpoint by step {step}"
        said = re.search(r"([^:]+) \[os_error_code", str(error))  # tensorstore's words for what the system said
        reason = said[1].strip() if said else str(error).strip().split("\n")[0][:300]
        raise UserError(f"cannot write {which} in {self._directory}: {reason}. Finished ones: {self.steps}.") from error
