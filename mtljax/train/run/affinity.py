"""Affinities of a run, their mean over the steps at which they were measured: `affinity.json` in its workdir."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtljax.errors import UserError
from mtljax.train.run.workdir import replace_text, unwritable
from mtljax.train.step.affinity import EXACT, FIRST

AFFINITY_FILE = "affinity.json"
VERSION = 1


def let_go(known: Mapping[str, Any] | None, h: float) -> str | None:
    """What is said where a run goes on with steps of another length, so that its exact mean begins anew; else None.

    Args:
        known: what `Means.kept` gave, of the run that is gone on with.
        h: length of the plain gradient step.
    """
    if known is None or float(known["h"]) == h or not np.any(known["counts"][EXACT]):
        return None
    steps, before = int(np.max(known["counts"][EXACT])), float(known["h"])
    return f"affinity_step is {h:g} and was {before:g}: exact affinities of {steps} steps are let go, for a new mean"


@dataclasses.dataclass(frozen=True)
class Affinity:
    """Affinities between the tasks of a run: what `mtl.relations.group(found.mean, found.tasks, most)` takes.

    Attributes:
        tasks: of rows and columns.
        mean: (T, T) [source][target] float64, of the exact affinity over the steps at which a pair had one; NaN for a
            pair that never had.
        count: (T, T) int64, how many steps that were.
        first: (T, T), the mean of the affinity to first order.
        first_count: (T, T), of how many steps.
        h: length of the plain gradient step; 0 where only the first order was measured.
        every: steps from one measurement to the next.
        step: of the training that the means reach to.
    """

    tasks: tuple[str, ...]
    mean: np.ndarray
    count: np.ndarray
    first: np.ndarray
    first_count: np.ndarray
    h: float
    every: int
    step: int


class Means:
    """Affinities added up over steps, on the host, in float64.

    Args:
        tasks: of rows and columns.
        h: length of the plain gradient step.
        every: steps from one measurement to the next.
        known: what `kept` gave, of the run that is gone on with. Exact affinities of steps of another length are let
            go; to first order they are of no length, and stay.
    """

    def __init__(self, tasks: Sequence[str], h: float, every: int, known: Mapping[str, Any] | None = None) -> None:
        self._tasks, self._h, self._every = tuple(tasks), h, every
        shape = (len(self._tasks),) * 2
        self._totals = {name: np.zeros(shape) for name in (EXACT, FIRST)}
        self._counts = {name: np.zeros(shape, np.int64) for name in (EXACT, FIRST)}
        if known is not None:
            of_this = self._totals if float(known["h"]) == h else (FIRST,)
            self._totals |= {name: np.asarray(known["totals"][name]) for name in of_this}
            self._counts |= {name: np.asarray(known["counts"][name]) for name in of_this}

    def add(self, report: Mapping[str, Any]) -> dict[str, float]:
        """Adds the affinities of a step, those that are numbers.

        Args:
            report: of the step, of NumPy arrays (T, T), NaN for pairs without an affinity.

        Returns:
            The step's figures, `affinity/<source>/<target>` and `affinity_first/<source>/<target>`.
        """
        figures: dict[str, float] = {}
        for name in self._totals.keys() & report.keys():
            matrix = np.asarray(report[name], np.float64)
            there = np.isfinite(matrix)
            # New arrays: the old ones may still be on their way to the disk.
            self._totals[name] = self._totals[name] + np.where(there, matrix, 0.0)
            self._counts[name] = self._counts[name] + there
            pairs = np.argwhere(there)
            figures |= {f"{name}/{self._tasks[i]}/{self._tasks[j]}": float(matrix[i, j]) for i, j in pairs}
        return dict(sorted(figures.items()))

    def kept(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"totals": dict(self._totals), "counts": dict(self._counts), "h": np.float64(self._h)}

    def write(self, workdir: pathlib.Path, step: int) -> None:
        """Writes `affinity.json`, all of it or nothing.

        Args:
            workdir: of the run.
            step: of the training.

        Raises:
            UserError: where it cannot be written.
        """
        told = {"version": VERSION, "tasks": self._tasks, "order": "[source][target]"}
        told |= {"h": self._h, "every": self._every, "step": step}
        for key, name in (("mean", EXACT), ("first", FIRST)):
            total, count = self._totals[name], self._counts[name]
            mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
            told[key] = [[None if np.isnan(value) else value for value in row] for row in mean.tolist()]
            told["count" if name == EXACT else "first_count"] = count.tolist()
        try:
            replace_text(workdir / AFFINITY_FILE, json.dumps(told, indent=1) + "\n")
        except OSError as error:
            raise unwritable(workdir, error) from error


def read(workdir: pathlib.Path) -> Affinity:
    """The affinities that a run with `config.affinity_every` has left.

    Args:
        workdir: of the run.

    Raises:
        UserError: where there are none, or they cannot be read.
    """
    file = workdir / AFFINITY_FILE
    try:
        told = json.loads(file.read_text())
        tables = {
            key: np.array(told[key], np.float64 if key in ("mean", "first") else np.int64)
            for key in ("mean", "count", "first", "first_count")
        }
        found = Affinity(tuple(told["tasks"]), **tables, h=told["h"], every=told["every"], step=told["step"])
    except FileNotFoundError:
        raise UserError(
            f"no {AFFINITY_FILE} in {str(workdir)!r}: expected the workdir of a run with config.affinity_every."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"cannot read {str(file)!r}: {type(error).__name__}: {error}.") from error
    for key, table in tables.items():
        if table.shape != (len(found.tasks),) * 2:
            raise UserError(f"cannot read {str(file)!r}: {key} has shape {table.shape}, of {len(found.tasks)} tasks.")
    return found
