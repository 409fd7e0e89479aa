"""What is given to these functions, checked: names, matrices, budgets, amounts, how many tasks."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from mtljax.errors import UserError, unknown

MOST_TASKS = 16  # of which every set is listed: 65,535 sets


def names(tasks: Iterable[str]) -> tuple[str, ...]:
    """The names of two or more tasks.

    Raises:
        UserError: for fewer than two, a name that is no text, or one that stands twice.
    """
    if isinstance(tasks, str):
        raise UserError(f"expected the names of two or more tasks, not the text {tasks!r}.")
    known = tuple(tasks)
    for task in known:
        if not isinstance(task, str):
            raise UserError(f"a task is named by text; {task!r} is none.")
        if known.count(task) > 1:
            raise UserError(f"the task {task!r} stands twice among {', '.join(map(repr, known))}.")
    if len(known) < 2:
        raise UserError(f"{_alone(known)} has no other to be related to; expected two or more tasks.")
    return known


def _alone(tasks: tuple[str, ...]) -> str:
    return f"one task, {tasks[0]!r}," if tasks else "no task"


def few(tasks: Sequence[str]) -> None:
    """Refuses more tasks than those of which every set can be listed."""
    if len(tasks) > MOST_TASKS:
        raise UserError(f"{len(tasks)} tasks have {2 ** len(tasks) - 1:,} sets; expected {MOST_TASKS} tasks or fewer.")


def square(what: str, matrix: ArrayLike, tasks: Sequence[str]) -> np.ndarray:
    """A matrix between tasks, (T, T) float64; its diagonal is not looked at, and becomes 0.

    Args:
        what: name of what the matrix holds, for messages.
        matrix: [one][other].
        tasks: names of its rows, and of its columns.

    Raises:
        UserError: for another shape, or a number beside the diagonal that is not finite (which pair).
    """
    values = numbers(what, matrix)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise UserError(f"{what} has shape {values.shape}; expected a square matrix, a row and a column a task.")
    if len(values) != len(tasks):
        raise UserError(f"{what} has {len(values)} rows, but {len(tasks)} tasks are named: {', '.join(tasks)}.")
    values = values.copy()
    np.fill_diagonal(values, 0)
    for row, column in np.argwhere(~np.isfinite(values)):
        raise UserError(f"{what} of {tasks[row]!r} to {tasks[column]!r} is {values[row, column]}.")
    return values


def numbers(what: str, values: ArrayLike) -> np.ndarray:
    """An array in float64; None becomes NaN."""
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"{what} is no array of numbers: {error}.") from error


def table(what: str, values: ArrayLike, rows: str, columns: str) -> np.ndarray:
    """Finite numbers of two axes, neither empty, in float64.

    Args:
        what: name of a number, for messages.
        values: two axes.
        rows: name of a row.
        columns: name of a column.

    Raises:
        UserError: for another shape, or a number that is not finite (which).
    """
    array = numbers(what, values)
    if array.ndim != 2 or not array.size:
        raise UserError(f"{what} has shape {array.shape}; expected ({rows}s, {columns}s), one or more of each.")
    for row, column in np.argwhere(~np.isfinite(array)):
        raise UserError(f"{what} of {rows} {row} for {columns} {column} is {array[row, column]}.")
    return array


def row(what: str, values: ArrayLike, length: int | None = None) -> np.ndarray:
    """Finite numbers of one axis, not empty, in float64.

    Raises:
        UserError: for another shape or length, or a number that is not finite (which).
    """
    array = numbers(what, values)
    if array.ndim != 1 or not array.size or (length is not None and len(array) != length):
        expected = f"({length},)" if length is not None else "one axis, and a number or more"
        raise UserError(f"{what} has shape {array.shape}; expected {expected}.")
    for (place,) in np.argwhere(~np.isfinite(array)):
        raise UserError(f"{what} has {array[place]} at place {place}.")
    return array


def finite(what: str, value: float) -> float:
    """A finite number.

    Raises:
        UserError: for another.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not math.isfinite(value):
        raise UserError(f"{what} is {value!r}; expected a finite number.")
    return float(value)


def amount(what: str, value: float) -> float:
    """A cost, an importance or a budget: finite and not negative.

    Raises:
        UserError: for another.
    """
    if finite(what, value) < 0:
        raise UserError(f"{what} is {value:g}; expected 0 or more.")
    return float(value)


def amounts(what: str, kind: str, given: Mapping[str, float] | None, known: Iterable[str]) -> dict[str, float]:
    """A cost or an importance of each of some names.

    Args:
        what: cost or importance, for messages.
        kind: what the names are of.
        given: to whom there is something to say.
        known: all names there are.

    Raises:
        UserError: for a name that is not known, or an amount that is negative or not finite.
    """
    known = set(known)
    for name in given or {}:
        if name not in known:
            raise unknown(f"{kind} with {what}", name, known)
    return {name: amount(f"{what} of {name!r}", value) for name, value in (given or {}).items()}
