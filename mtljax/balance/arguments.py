"""Checks of balancers' arguments. Numbers may be traced, as by `optax.inject_hyperparams`: known ones are judged."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


def check_num_tasks(num_tasks: Any) -> None:
    """Raises `ValueError` where `num_tasks` is not a positive integer."""
    if not isinstance(num_tasks, int) or isinstance(num_tasks, bool) or num_tasks < 1:
        hint = " (under optax.inject_hyperparams, name it in static_args)" if isinstance(num_tasks, jax.Array) else ""
        raise ValueError(f"num_tasks must be a positive integer, not {num_tasks!r}{hint}.")


def checked_losses(losses: Any, num_tasks: int, needed: bool) -> jax.Array | None:
    """The losses as an array (T,), float32 at least: float16 does not hold 1e-8.

    Raises:
        ValueError: where they are needed and missing, or have another shape.
    """
    if losses is None:
        if needed:
            raise ValueError("this balancer needs the losses: call update(jacobian, state, params, losses=losses).")
        return None
    losses = jnp.asarray(losses)
    if losses.shape != (num_tasks,):
        raise ValueError(f"losses must have shape ({num_tasks},), one a task, not {losses.shape}.")
    return losses.astype(jnp.promote_types(losses.dtype, jnp.float32))


def known(*values: Any) -> bool:
    """Whether none of the values is traced."""
    return not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(values))


def non_negative(method: str, **arguments: float) -> None:
    """Raises `ValueError` for an argument below 0, or infinite."""
    for name, value in arguments.items():
        if known(value) and not 0 <= value < np.inf:
            raise ValueError(f"{method}({name}={value}): {name} must be at least 0, and finite.")


def positive(method: str, **arguments: float) -> None:
    """Raises `ValueError` for an argument that is not above 0, or infinite."""
    for name, value in arguments.items():
        if known(value) and not 0 < value < np.inf:
            raise ValueError(f"{method}({name}={value}): {name} must be positive, and finite.")


def fraction(method: str, **arguments: float) -> None:
    """Raises `ValueError` for an argument outside [0, 1]."""
    for name, value in arguments.items():
        if known(value) and not 0 <= value <= 1:
            raise ValueError(f"{method}({name}={value}): {name} must be between 0 and 1.")


def whole(method: str, least: int, **arguments: int) -> None:
    """Raises `ValueError` for an argument that is no integer of at least `least`."""
    for name, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            hint = " (under optax.inject_hyperparams, name it in static_args)" if isinstance(value, jax.Array) else ""
            raise ValueError(f"{method}({name}={value!r}): {name} must be an integer of at least {least}{hint}.")


Numbers = Sequence[float] | Mapping[str, float] | float


def in_order(method: str, name: str, values: Any, tasks: Sequence[str] | None) -> Any:
    """A dict task -> value as a list in the order of the losses; anything else as it is.

    Raises:
        ValueError: for a dict without `tasks`, or whose names are not those of the tasks.
    """
    if not isinstance(values, Mapping):
        return values
    if tasks is None:
        raise ValueError(f"{method}({name}=...): a dict needs tasks=, the names in the order of the losses.")
    for given in values:
        if given not in tasks:
            close = difflib.get_close_matches(str(given), tasks, n=1, cutoff=0.0)
            raise ValueError(f"{method}({name}=...): no task {given!r}; did you mean {close[0]!r}?")
    missing = [task for task in tasks if task not in values]
    if missing:
        raise ValueError(f"{method}({name}=...): expected a number for each task; none for {', '.join(missing)}.")
    return [values[task] for task in tasks]


def index(method: str, name: str, value: Any, tasks: Sequence[str] | None) -> Any:
    """The index of a task told by its name; anything else as it is.

    Raises:
        ValueError: for a name without `tasks`, or that is none of them.
    """
    if not isinstance(value, str):
        return value
    if tasks is None:
        raise ValueError(f"{method}({name}={value!r}): a name needs tasks=, the names in the order of the losses.")
    if value not in tasks:
        close = difflib.get_close_matches(value, tasks, n=1, cutoff=0.0)
        raise ValueError(f"{method}({name}={value!r}): no such task; did you mean {close[0]!r}?")
    return list(tasks).index(value)


def per_task(
    method: str, num_tasks: int, *, default: float, tasks: Sequence[str] | None = None, **arguments: Numbers | None
) -> np.ndarray | jax.Array:
    """A vector of one non-negative number a task, (T,) float64 (float32 where traced), not all of them 0.

    Raises:
        ValueError: for another length, a negative or non-finite number, or zeros only; for names that are not `tasks`.
    """
    check_num_tasks(num_tasks)
    ((name, values),) = arguments.items()
    values = in_order(method, name, values, tasks)
    array = (lambda x: np.asarray(x, np.float64)) if known(values) else (lambda x: jnp.asarray(x, jnp.float32))
    vector = np.full(num_tasks, default) if values is None else array(values)
    if vector.ndim == 0:
        vector = vector * np.ones(num_tasks, vector.dtype)
    if vector.shape != (num_tasks,):
        raise ValueError(f"{method}({name}=...): expected {num_tasks} numbers, one a task, not shape {vector.shape}.")
    if known(vector) and (not np.isfinite(vector).all() or (vector < 0).any() or not vector.any()):
        raise ValueError(f"{method}({name}={values!r}): expected non-negative numbers, not all of them 0.")
    return vector


def numbers(
    method: str, num_tasks: int, tasks: Sequence[str] | None, **arguments: Sequence[float] | Mapping[str, float] | None
) -> jax.Array:
    """A vector of one number a task, (T,) float32, of any sign; zeros where none is given.

    Raises:
        ValueError: for another length, a number that is not finite, or names that are not `tasks`.
    """
    check_num_tasks(num_tasks)
    ((name, values),) = arguments.items()
    values = in_order(method, name, values, tasks)
    vector = jnp.zeros(num_tasks, jnp.float32) if values is None else jnp.asarray(values, jnp.float32)
    if vector.shape != (num_tasks,):
        raise ValueError(f"{method}({name}=...): expected {num_tasks} numbers, one a task, not shape {vector.shape}.")
    if known(vector) and not np.isfinite(vector).all():
        raise ValueError(f"{method}({name}={values!r}): expected finite numbers.")
    return vector


def preferred(
    method: str, num_tasks: int, preference: Numbers | None, tasks: Sequence[str] | None
) -> Callable[[jax.Array], jax.Array]:
    """A preference among the tasks that are present, (T,), as a function of `present` (T,); equal ones where none is
    given, of sum 1.

    Raises:
        ValueError: as `per_task`.
    """
    vector = per_task(method, num_tasks, default=1.0, tasks=tasks, preference=preference)

    def chosen(present: jax.Array) -> jax.Array:
        amounts = jnp.where(present, jnp.asarray(vector), 0.0)
        return amounts if preference is not None else amounts / jnp.maximum(jnp.sum(amounts), 1.0)

    return chosen
