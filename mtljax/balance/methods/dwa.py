"""Dynamic weight average."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mtljax.balance import among_present, arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.memory import typical_size
from mtljax.balance.rule import Observation, from_rule


class DWAState(NamedTuple):
    """State of `dwa`.

    Attributes:
        step: int32, steps taken.
        total: (T,) float32, the sum of the losses in the present window.
        number: (T,) float32, how many they are.
        last: (T,) float32, the mean losses of the last whole window; 0 where there is none.
        before: (T,) float32, those of the window before.
    """

    step: jax.Array
    total: jax.Array
    number: jax.Array
    last: jax.Array
    before: jax.Array


def dwa(num_tasks: int, temperature: float = 2.0, period: int = 100) -> Balancer:
    """Weighs tasks by how slowly their losses fall: `w = T softmax(r / temperature)`, `r_t = mean L_t / mean L_t
    before`.

    The means are those of the last whole window of `period` steps and of the one before it; in the first two windows
    all weights are 1. A task that was absent in one of them, or whose mean is at or below zero, has no quotient and
    counts with `r = 1`. A loss of more than ten times its window's mean so far counts as ten times that.

    Args:
        num_tasks: T, the number of tasks.
        temperature: evenness of the weights, > 0.
        period: steps a window; the paper takes an epoch.

    Returns:
        An optax `Aggregator`; it sees the losses only, and its `update` needs `losses=`, shape (T,).

    Raises:
        ValueError: for `temperature <= 0` or `period < 1`.

    References:
        Liu, Johns and Davison, End-to-End Multi-Task Learning with Attention, CVPR 2019, equation 7.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params, jacobian = jnp.zeros(2), jnp.eye(2)
        >>> balancer = mtl.dwa(2, period=1)
        >>> state = balancer.init(params)
        >>> for losses in ([4.0, 4.0], [2.0, 4.0], [1.0, 1.0]):
        ...     direction, state = balancer.update(jacobian, state, params, losses=jnp.array(losses))
        >>> [round(float(w), 3) for w in direction]  # 2 softmax([0.25, 0.5])
        [0.876, 1.124]
    """
    arguments.positive("dwa", temperature=temperature)
    arguments.whole("dwa", 1, period=period)

    def init() -> DWAState:
        zeros = jnp.zeros(num_tasks, jnp.float32)
        return DWAState(jnp.int32(0), zeros, zeros, zeros, zeros)

    def rule(seen: Observation, state: DWAState) -> tuple[jax.Array, DWAState]:
        known = (state.last > 0) & (state.before > 0)
        rates = jnp.where(known, state.last / jnp.where(known, state.before, 1.0), 1.0)
        weights = among_present.count(seen.present) * among_present.softmax(rates / temperature, seen.present)
        weights = jnp.where(state.step < 2 * period, 1.0, weights)
        losses = seen.losses.astype(jnp.float32)
        counted = seen.present & typical_size.in_range(losses)
        usual = state.total / jnp.maximum(state.number, 1.0)
        total = state.total + jnp.where(counted, typical_size.limited(losses, usual, state.number), 0.0)
        number = state.number + counted
        step = state.step + 1
        ends = step % period == 0
        mean = total / jnp.maximum(number, 1.0)
        return weights, DWAState(
            step=step,
            total=jnp.where(ends, 0.0, total),
            number=jnp.where(ends, 0.0, number),
            last=jnp.where(ends, mean, state.last),
            before=jnp.where(ends, state.last, state.before),
        )

    return from_rule(rule, num_tasks, sees="losses", init=init, needs_losses=True)
