"""Checks of balancers' arguments."""

from collections.abc import Sequence

import numpy as np

from mtljax.balance._balancer import check_num_tasks


def non_negative(method: str, **arguments: float) -> None:
    """Raises `ValueError` for an argument below 0."""
    for name, value in arguments.items():
        if not value >= 0:
            raise ValueError(f"{method}({name}={value}): {name} must be at least 0.")


def positive(method: str, **arguments: float) -> None:
    """Raises `ValueError` for an argument that is not above 0."""
    for name, value in arguments.items():
        if not value > 0:
            raise ValueError(f"{method}({name}={value}): {name} must be positive.")


def fraction(method: str, **arguments: float) -> None:
    """Raises `ValueError` for an argument outside [0, 1]."""
    for name, value in arguments.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{method}({name}={value}): {name} must be between 0 and 1.")


def whole(method: str, least: int, **arguments: int) -> None:
    """Raises `ValueError` for an argument that is no integer of at least `least`."""
    for name, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{method}({name}={value!r}): {name} must be an integer of at least {least}.")


def per_task(method: str, num_tasks: int, *, default: float, **arguments: Sequence[float] | float | None) -> np.ndarray:
    """A vector of one non-negative number a task, (T,) float64, not all of them 0.

    Raises:
        ValueError: for another length, a negative or non-finite number, or zeros only.
    """
    check_num_tasks(num_tasks)
    ((name, values),) = arguments.items()
    vector = np.full(num_tasks, default) if values is None else np.asarray(values, np.float64)
    if vector.ndim == 0:
        vector = np.full(num_tasks, vector)
    if vector.shape != (num_tasks,):
        raise ValueError(f"{method}({name}=...): expected {num_tasks} numbers, one a task, not shape {vector.shape}.")
    if not np.isfinite(vector).all() or (vector < 0).any() or not vector.any():
        raise ValueError(f"{method}({name}={values!r}): expected non-negative numbers, not all of them 0.")
    return vector
