"""Smooth Tchebycheff scalarisation."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mtljax.balance import among_present, arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.memory import typical_size
from mtljax.balance.rule import Observation, from_rule


class STCHState(NamedTuple):
    """State of `stch`.

    Attributes:
        step: int32, steps taken.
        total: (T,) float32, the sum of the losses in the last window of the warm-up.
        number: (T,) float32, how many they are.
    """

    step: jax.Array
    total: jax.Array
    number: jax.Array


def stch(num_tasks: int, mu: float = 1.0, warmup: int = 100, window: int | None = None) -> Balancer:
    """The gradient of `T mu log sum_t exp(log(L_t / nadir_t) / mu)`, a smooth maximum of relative log-losses.

    So `w_t = T softmax(log(L / nadir) / mu)_t / L_t`. In the first `warmup` steps it is the gradient of `sum_t log
    L_t`, `w_t = 1 / L_t`; the nadir is the mean loss over their last `window` steps, or the first loss after them of a
    task that was absent there. A loss of more than ten times the mean so far counts as ten times that.

    Args:
        num_tasks: T, the number of tasks.
        mu: smoothness, > 0; towards 0 it becomes the maximum.
        warmup: steps of the warm-up, at least 1.
        window: steps at its end over which the nadir is taken; the whole warm-up by default.

    Returns:
        An optax `Aggregator`; it sees the losses only, and its `update` needs `losses=`, shape (T,), positive: a task
        whose loss is not has no part in the step, and is flagged in the state's `present`. A loss below 1e-8 counts as
        1e-8.

    Raises:
        ValueError: for `mu <= 0`, `warmup < 1`, or a window that is not within it.

    References:
        Lin et al., Smooth Tchebycheff Scalarization for Multi-Objective Optimization, ICML 2024, equation 9; warm-up
        and log-losses as in the authors' multi-task experiments.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.stch(2, warmup=1)
        >>> state = balancer.init(params)
        >>> for losses in ([2.0, 2.0], [1.0, 2.0]):
        ...     direction, state = balancer.update(jnp.eye(2), state, params, losses=jnp.array(losses))
        >>> [round(float(w), 3) for w in direction]  # 2 softmax(log([0.5, 1])) / [1, 2]
        [0.667, 0.667]
    """
    arguments.positive("stch", mu=mu)
    arguments.whole("stch", 1, warmup=warmup)
    window = warmup if window is None else window
    arguments.whole("stch", 1, window=window)
    if window > warmup:
        raise ValueError(f"stch(warmup={warmup}, window={window}): the window lies in the warm-up.")

    def init() -> STCHState:
        zeros = jnp.zeros(num_tasks, jnp.float32)
        return STCHState(jnp.int32(0), zeros, zeros)

    def rule(seen: Observation, state: STCHState) -> tuple[jax.Array, STCHState]:
        losses = among_present.positive(seen.losses)
        nadir = jnp.where(state.number > 0, state.total / jnp.maximum(state.number, 1.0), losses)
        shares = among_present.softmax((jnp.log(losses) - jnp.log(among_present.positive(nadir))) / mu, seen.present)
        smooth = among_present.count(seen.present) * shares / losses
        weights = jnp.where(state.step < warmup, 1 / losses, smooth)
        in_window = (state.step >= warmup - window) & (state.step < warmup)
        late = (state.step >= warmup) & (state.number == 0)
        counted = (in_window | late) & seen.present & typical_size.in_range(seen.losses)
        usual = state.total / jnp.maximum(state.number, 1.0)
        bounded = typical_size.limited(seen.losses.astype(jnp.float32), usual, state.number)
        total = state.total + jnp.where(counted, bounded, 0.0)
        # A step counter that stays put after the warm-up never overflows.
        return weights, STCHState(jnp.minimum(state.step + 1, warmup), total, state.number + counted)

    return from_rule(rule, num_tasks, sees="losses", init=init, needs_losses=True, needs_positive_losses=True)
