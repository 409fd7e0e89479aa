"""Checkpoints, through Orbax: the training state and the position in the data."""

import pathlib
import re
import sys
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from mtljax.errors import UserError


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
        self._orbax = ocp.training.Checkpointer(
            self._directory, preservation_policy=policy, cleanup_tmp_directories=True
        )

    @property
    def steps(self) -> list[int]:
        """The steps of the finished checkpoints, oldest first."""
        return sorted(checkpoint.step for checkpoint in self._orbax.checkpoints)

    def save(self, step: int, state: Any, data: Any, *, wait: bool = False) -> None:
        """Saves a state and a data iterator; with `wait`, returns when they are on disk.

        Raises:
            UserError: where this or an earlier save could not be written.
        """
        try:
            self._orbax.wait()
            self._orbax.save_checkpointables_async(step, {"state": state, "data": data}, overwrite=True)
            if wait:
                self._orbax.wait()
        except (OSError, ValueError, RuntimeError) as error:
            raise self._unwritable(step, error) from error

    def restore(self, state: Any, data: Any = None) -> tuple[Any, int] | None:
        """Loads the newest checkpoint that can be read, and says which could not.

        Args:
            state: a state of the wanted shapes and placement.
            data: an iterator whose position is set too, if given.

        Returns:
            The state and its step; None where there is no checkpoint.

        Raises:
            UserError: where there are checkpoints but none can be read.
        """
        for step in reversed(self.steps):
            try:
                # Placement follows the template; a first load without the iterator leaves it untouched on failure.
                loaded = self._orbax.load_checkpointables(step, {"state": state})["state"]
                jax.block_until_ready(jax.tree.leaves(loaded))
                if data is not None:
                    self._orbax.load_checkpointables(step, {"data": data})
            except Exception as error:  # A damaged file can surface as almost any error of Orbax or tensorstore.
                reason = str(error).strip().split("\n")[0][:200]
                print(
                    f"checkpoint {self._directory / str(step)} cannot be read ({type(error).__name__}: {reason}); "
                    "falling back to the one before.",
                    file=sys.stderr,
                )
            else:
                return loaded, step
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
        except (OSError, ValueError, RuntimeError) as error:
            raise self._unwritable(None, error) from error

    def _unwritable(self, step: int | None, error: Exception) -> UserError:
        which = "the last checkpoint" if step is None else f"a checkpoint by step {step}"
        said = re.search(r"([^:]+) \[os_error_code", str(error))  # tensorstore's words for what the system said
        reason = said[1].strip() if said else str(error).strip().split("\n")[0][:300]
        return UserError(f"cannot write {which} in {self._directory}: {reason}. Finished ones: {self.steps}.")
