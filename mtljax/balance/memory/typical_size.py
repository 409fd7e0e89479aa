"""What is typical of a task, so that one bad number does not spoil what a method remembers."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

_LARGEST = 1e18  # Squares of larger numbers, and sums of them, are beyond float32.
_KNOWN, _WINDOW, _TIMES = 5, 100, 10.0


class Typical(NamedTuple):
    """The running mean square of a number a task.

    Attributes:
        squares: (T,) float32, the mean over the last 100 or so.
        number: (T,) float32, how many there were.
    """

    squares: jax.Array
    number: jax.Array


def nothing(num_tasks: int) -> Typical:
    """What is known before the first number."""
    return Typical(jnp.zeros(num_tasks, jnp.float32), jnp.zeros(num_tasks, jnp.float32))


def in_range(values: jax.Array) -> jax.Array:
    """Whether numbers are finite and their squares are, in float32: whether a state may keep them."""
    return jnp.abs(values) <= _LARGEST


def limit(typical: jax.Array, number: jax.Array, least: float = 0.0) -> jax.Array:
    """How large a number may be, (T,): ten times what is typical, once five are known.

    Args:
        typical: the usual size, (T,); 0 limits nothing.
        number: how many numbers it is made of, (T,).
        least: a size that is usual in any case.
    """
    size = jnp.maximum(jnp.abs(typical), least)
    return jnp.where((number >= _KNOWN) & (size > 0), _TIMES * size, jnp.inf)


def limited(values: jax.Array, typical: jax.Array, number: jax.Array) -> jax.Array:
    """Numbers (T,) made no larger in size than `limit`."""
    bound = limit(typical, number).astype(values.dtype)
    return jnp.clip(values, -bound, bound)


def limit_of(known: Typical, least: float = 0.0) -> jax.Array:
    """`limit` of what is known, (T,)."""
    return limit(jnp.sqrt(known.squares), known.number, least)


def after(known: Typical, values: jax.Array, counted: jax.Array) -> Typical:
    """What is known after these numbers (T,) of the tasks that are counted (T,)."""
    number = known.number + counted
    rate = 1 / jnp.clip(number, 1.0, _WINDOW)
    values = jnp.where(counted, values.astype(jnp.float32), 0.0)
    moved = known.squares + rate * (values**2 - known.squares)
    return Typical(jnp.where(counted, moved, known.squares), number)
