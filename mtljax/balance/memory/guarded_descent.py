"""Descent on one number a task by an optax transformation, each task's apart from the others'."""

from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from mtljax.balance.memory import typical_size


class Descent(NamedTuple):
    """State of a descent.

    Attributes:
        optimizer: the state of the optax transformation, of each task: its leaves have a leading axis T.
        typical: of each task's gradient.
    """

    optimizer: optax.OptState
    typical: typical_size.Typical


def adam_unless(optimizer: optax.GradientTransformation | None, lr: float) -> optax.GradientTransformation:
    """The optimiser that was given, or Adam.

    Raises:
        ValueError: for what is no optax transformation.
    """
    optimizer = optax.adam(lr) if optimizer is None else optimizer
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise ValueError(f"optimizer must be an optax transformation, not {optimizer!r}.")
    return optimizer


def start(optimizer: optax.GradientTransformation, values: jax.Array) -> Descent:
    """The state before the first step, of values (T,)."""
    return Descent(jax.vmap(optimizer.init)(values), typical_size.nothing(len(values)))


def step(
    optimizer: optax.GradientTransformation,
    values: jax.Array,
    gradient: jax.Array,
    state: Descent,
    counted: jax.Array,
    least: float = 0.0,
) -> tuple[jax.Array, Descent]:
    """Moves the values of the tasks that are counted; of the others neither value nor optimiser state moves.

    A gradient of more than ten times the usual size, once five are known, is cut down to that, and one whose square
    is not finite is passed over: one bad loss does not spoil what the optimiser remembers.

    Args:
        optimizer: an optax transformation; it sees one task's number at a time.
        values: (T,) float32.
        gradient: (T,).
        state: of the descent.
        counted: (T,) bool.
        least: a size of the gradient that is usual in any case.
    """
    counted = counted & typical_size.in_range(gradient)
    bound = typical_size.limit_of(state.typical, least)
    gradient = jnp.where(counted, jnp.clip(gradient, -bound, bound), 0.0)
    change, moved = jax.vmap(optimizer.update)(gradient, state.optimizer, values)
    change = cast(jax.Array, change)
    counted &= jnp.isfinite(change)

    def kept(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(counted.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    typical = typical_size.after(state.typical, gradient, counted)
    return kept(values + change, values), Descent(jax.tree.map(kept, moved, state.optimizer), typical)
