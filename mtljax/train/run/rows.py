"""Rows that tasks give of each batch, in tables that grow over a split: the same however it was shared out."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from mtljax.errors import UserError
from mtljax.tasks import Task
from mtljax.tasks.task import PLACE, Rows


class Tables:
    """Gathers the rows of one task.

    Args:
        task: with `host_rows` and `figures`.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._found: list[Rows] = []

    def add(self, decoded: Any, batch: Mapping[str, Any]) -> None:
        """Adds the rows of a batch, without those of examples that fill it up.

        Args:
            decoded: prediction, NumPy.
            batch: NumPy, with `place` (B,), and `example_valid` (B,) where some of it only fills it up.
        """
        real = np.asarray(batch.get("example_valid", np.ones(len(batch[PLACE]))), bool)
        if self._task.host_rows is None or (self._found and not real.any()):
            return
        whole: tuple[Any, Any] = (decoded, dict(batch))
        if not real.all():
            whole = jax.tree.map(lambda x: x[real] if real.any() else x[:1], whole)
        rows = checked(self._task, self._task.host_rows(*whole))
        # A host without examples has tables too, without rows: all hosts join the same ones.
        self._found.append(rows if real.any() else jax.tree.map(lambda column: column[:0], rows))

    def figures(self, over_hosts: Callable[[Any], Any]) -> Mapping[str, float]:
        """What the task makes of all rows: of those that each host has found of its own examples, put in order."""
        if self._task.figures is None:
            return {}
        names = self._found[0] if self._found else {}
        joined = {
            name: {key: np.concatenate([rows[name][key] for rows in self._found]) for key in names[name]}
            for name in names
        }
        return self._task.figures({name: _in_order(columns) for name, columns in over_hosts(joined).items()})


def places(batch: int, size: int, shard: tuple[int, int]) -> np.ndarray:
    """The place in the split of each example of a host's i-th batch: hosts take examples in turns.

    Example:
        >>> print(places(1, 3, (0, 2)))
        [ 6  8 10]
    """
    index, count = shard
    return (batch * size + np.arange(size)) * count + index


def checked(task: Task, rows: Rows) -> Rows:
    """The rows as they are; a `UserError` where the columns of a table are not of one length."""
    for name, columns in rows.items():
        lengths = {key: len(column) for key, column in columns.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{key} {length}" for key, length in lengths.items())
            raise UserError(
                f"task {task.name!r}: the columns of its rows {name!r} have lengths {told}; expected one length."
            )
    return rows


def _in_order(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The rows of a table by their place in the split, those of one place as they came."""
    if PLACE not in columns:
        return dict(columns)
    order = np.argsort(columns[PLACE], kind="stable")
    return {key: column[order] for key, column in columns.items()}
