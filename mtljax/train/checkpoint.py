"""Checkpoints, through Orbax: the training state and the position in the data."""

import pathlib
import re
import sys
from typing import Any, NamedTuple, NoReturn

import jax
from orbax.checkpoint import v1 as ocp

from mtljax.errors import UserError
from mtljax.train import hosts
from mtljax.train.workdir import Checksums


class Restored(NamedTuple):
    """What a checkpoint held.

    Attributes:
        state: of the training.
        step: that it was saved after.
        examples: seen until then, on all hosts together.
    """

    state: Any
    step: int
    examples: int


class Checkpoints:
    """The checkpoints of one run, the newest few of them kept.

    Saves are asynchronous: the state is copied before `save` returns, and written while training goes on.

    Args:
        directory: where they are; made when missing.
        keep: how many.
    """

    def __init__(self, directory: pathlib.Path, keep: int = 3) -> None:
        self._directory = directory.absolute()
        policy = ocp.training.preservation_policies.LatestN(keep)
        self._checksums = Checksums(self._directory)
        self._orbax = ocp.training.Checkpointer(
            self._directory, preservation_policy=policy, cleanup_tmp_directories=True
        )

    @property
    def steps(self) -> list[int]:
        """The steps of the finished checkpoints, oldest first."""
        return sorted(checkpoint.step for checkpoint in self._orbax.checkpoints)

    def save(self, step: int, state: Any, examples: int, *, wait: bool = False) -> None:
        """Saves a state and how many examples it has seen; with `wait`, returns when they are on disk.

        Raises:
            UserError: where this or an earlier save could not be written.
        """
        try:
            self._orbax.wait()
            self._orbax.save_checkpointables_async(
                step, {"state": state, "data": {"examples": examples}}, overwrite=True
            )
            if wait:
                self._orbax.wait()
                self._seal()
        except (OSError, ValueError, RuntimeError) as error:
            self._raise_unwritable(step, error)

    def restore(self, state: Any) -> Restored | None:
        """Loads the newest checkpoint that can be read, and says which could not.

        Args:
            state: a state of the wanted shapes and placement, which may be others than those of the run that saved it.

        Returns:
            What was saved; None where there is no checkpoint.

        Raises:
            UserError: where there are checkpoints but none can be read.
        """
        for step in reversed(self.steps):
            try:
                self._checksums.check(step)
                # One after the other: where two are loaded together and one fails, the other is left hanging.
                examples = self._orbax.load_checkpointables(step, {"data": {"examples": 0}})["data"]["examples"]
                loaded = self._orbax.load_checkpointables(step, {"state": state})["state"]
                jax.block_until_ready(jax.tree.leaves(loaded))
            except Exception as error:  # A damaged file can surface as almost any error of Orbax or tensorstore.
                reason = str(error).strip().split("\n")[0][:200]
                print(
                    f"checkpoint {self._directory / str(step)} cannot be read ({type(error).__name__}: {reason}); "
                    "falling back to the one before.",
                    file=sys.stderr,
                )
            else:
                return Restored(loaded, step, int(examples))
        if self.steps:
            raise UserError(f"none of the checkpoints {self.steps} in {self._directory} can be read.")
        return None

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
