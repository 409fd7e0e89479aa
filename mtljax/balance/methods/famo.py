"""FAMO: fast adaptive multitask optimization."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from mtljax.balance import among_present, arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.memory import guarded_descent, typical_size
from mtljax.balance.rule import Observation, from_rule


class FAMOState(NamedTuple):
    """State of `famo`.

    Attributes:
        logits: xi, (T,) float32.
        descent: the state of the transformation that moves them, of each task.
        previous: (T,) float32, each task's last loss.
        age: (T,) int32, how many steps ago that was; 0 where there is none yet.
    """

    logits: jax.Array
    descent: guarded_descent.Descent
    previous: jax.Array
    age: jax.Array


def famo(
    num_tasks: int,
    lr: float = 0.025,
    weight_decay: float = 1e-3,
    min_losses: Sequence[float] | Mapping[str, float] | None = None,
    tasks: Sequence[str] | None = None,
) -> Balancer:
    """Lets all losses fall at similar rates, seeing nothing but the losses.

    With `z = softmax(xi)`: `w_t = c z_t / (L_t - b_t)`, `c = 1 / sum_t z_t / (L_t - b_t)`. The logits xi move by Adam
    along `J_softmax^T delta`, `delta_t = log(L_t before - b_t) - log(L_t after - b_t)`, where the losses of the next
    step stand for "after". A task that is absent keeps what is known of it, its logit and Adam's state; when it is
    back, its delta is divided by the steps between its two losses.

    Args:
        num_tasks: T, the number of tasks.
        lr: learning rate of the logits, > 0.
        weight_decay: of the logits, added to their gradient, at least 0.
        min_losses: b, T numbers below all losses; 0 by default.
        tasks: the tasks' names in the order of the losses, with which `min_losses` may be a dict name -> number.

    Returns:
        An optax `Aggregator`; it sees the losses only, and its `update` needs `losses=`, shape (T,), above b: a task
        whose loss is not has no part in the step, and is flagged in the state's `present`. Less than 1e-8 above b
        counts as 1e-8.

    Raises:
        ValueError: for `lr <= 0`, `weight_decay < 0`, or `min_losses` of another length.

    References:
        Liu et al., FAMO: Fast Adaptive Multitask Optimization, NeurIPS 2023, algorithm 1.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.famo(2)
        >>> state = balancer.init(params)
        >>> for losses in ([1.0, 1.0], [0.5, 1.0]):  # the first task gets better, so the second gets more weight
        ...     direction, state = balancer.update(jnp.eye(2), state, params, losses=jnp.array(losses))
        >>> [round(float(logit), 3) for logit in state.rule.logits]
        [-0.025, 0.025]
    """
    arguments.check_num_tasks(num_tasks)
    arguments.positive("famo", lr=lr)
    arguments.non_negative("famo", weight_decay=weight_decay)
    lowest = arguments.numbers("famo", num_tasks, tasks, min_losses=min_losses)
    optimizer = optax.chain(optax.add_decayed_weights(weight_decay), optax.adam(lr))

    def init() -> FAMOState:
        zeros = jnp.zeros(num_tasks, jnp.float32)
        return FAMOState(zeros, guarded_descent.start(optimizer, zeros), zeros, jnp.zeros(num_tasks, jnp.int32))

    def above(losses: jax.Array) -> jax.Array:
        return jnp.maximum(losses.astype(jnp.float32) - lowest, 1e-8)

    def rule(seen: Observation, state: FAMOState) -> tuple[jax.Array, FAMOState]:
        there = seen.present & typical_size.in_range(seen.losses)
        counted = there & (state.age > 0)
        fall = jnp.log(above(state.previous)) - jnp.log(above(seen.losses))
        delta = jnp.where(counted, fall / jnp.maximum(state.age, 1), 0.0)
        _, pull = jax.vjp(lambda logits: among_present.softmax(logits, counted), state.logits)
        logits, descent = guarded_descent.step(
            optimizer, state.logits, pull(delta)[0], state.descent, counted, least=0.1
        )
        shares = among_present.softmax(logits, seen.present) / above(seen.losses)
        previous = jnp.where(there, seen.losses.astype(jnp.float32), state.previous)
        age = jnp.where(there, 1, jnp.where(state.age > 0, optax.safe_increment(state.age), 0))
        weights = shares / jnp.maximum(jnp.sum(shares), jnp.finfo(jnp.float32).tiny)
        return weights, FAMOState(logits, descent, previous, age)

    positive = True if min_losses is None else lowest
    return from_rule(rule, num_tasks, sees="losses", init=init, needs_losses=True, needs_positive_losses=positive)
