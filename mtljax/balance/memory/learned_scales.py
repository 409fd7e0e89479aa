"""Loss weights that are learned by descent on one number a task."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from mtljax.balance.balancer import Balancer
from mtljax.balance.memory import guarded_descent
from mtljax.balance.rule import Observation, from_rule

_LARGEST = 30.0


class LearnedState(NamedTuple):
    """State of `uncertainty` and `imtl_l`.

    Attributes:
        scales: s, (T,) float32.
        descent: the state of the optax transformation that moves s, of each task.
    """

    scales: jax.Array
    descent: guarded_descent.Descent


def balancer_of(
    num_tasks: int,
    weights_of: Callable[[jax.Array], jax.Array],
    gradient_of: Callable[[jax.Array, jax.Array], jax.Array],
    optimizer: optax.GradientTransformation | None,
) -> Balancer:
    """A loss weighting by scales s (T,), from 0 on, that an optimiser moves, each task's apart from the others'.

    Args:
        num_tasks: T, the number of tasks.
        weights_of: s -> the weights (T,).
        gradient_of: `(s, losses (T,))` -> what the optimiser is given, (T,).
        optimizer: an optax transformation; `optax.adam(1e-3)` by default.

    Raises:
        ValueError: for an optimizer that is none.
    """
    moves = guarded_descent.adam_unless(optimizer, 1e-3)

    def init() -> LearnedState:
        scales = jnp.zeros(num_tasks, jnp.float32)
        return LearnedState(scales, guarded_descent.start(moves, scales))

    def rule(seen: Observation, state: LearnedState) -> tuple[jax.Array, LearnedState]:
        losses = seen.losses.astype(jnp.float32)
        gradient = gradient_of(state.scales, losses)
        scales, descent = guarded_descent.step(moves, state.scales, gradient, state.descent, seen.present, least=1.0)
        return weights_of(state.scales), LearnedState(jnp.clip(scales, -_LARGEST, _LARGEST), descent)

    return from_rule(rule, num_tasks, sees="losses", init=init, needs_losses=True)
