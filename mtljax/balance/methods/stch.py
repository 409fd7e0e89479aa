"""Smooth Tchebycheff scalarisation."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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


def stch(
    num_tasks: int,
    mu: float = 1.0,
    warmup: int | None = None,
    window: int | None = None,
    preference: arguments.Numbers | None = None,
    log: bool = True,
    reference: Sequence[float] | Mapping[str, float] | None = None,
    tasks: Sequence[str] | None = None,
) -> Balancer:
    """A smooth maximum of the losses, of `T u_t log(L_t / nadir_t)` or, with `log=False`, of `u_t (L_t - z_t)`.

    The weights are the gradient of `mu log sum_t exp(u_t (L_t - z_t) / mu)`: `w = u softmax(u (L - z) / mu)`, at every
    step. Of log-losses it is that of `T mu log sum_t exp(T u_t log(L_t / nadir_t) / mu)`: with u_t = 1/T,
    `w_t = T softmax(log(L / nadir) / mu)_t / L_t`. There, in the first `warmup` steps it is the gradient of
    `T sum_t u_t log L_t`; the nadir is the mean loss over their last `window` steps, or the first loss after them of a
    task that was absent there. A loss of more than ten times the mean so far counts as ten times that.

    Args:
        num_tasks: T, the number of tasks.
        mu: smoothness, > 0; towards 0 it becomes the maximum.
        warmup: steps of the warm-up, at least 1; 100 by default. Of log-losses alone.
        window: steps at its end over which the nadir is taken; the whole warm-up by default. Of log-losses alone.
        preference: u, T numbers of at least 0, not all 0; 1/T each by default.
        log: whether it looks at log-losses over their nadir, or at plain losses.
        reference: z, the ideal losses, T numbers; 0 by default. Of plain losses alone.
        tasks: the tasks' names in the order of the losses, with which `preference` and `reference` may be dicts.

    Returns:
        An optax `Aggregator`; it sees the losses only, and its `update` needs `losses=`, shape (T,). Log-losses must be
        positive: a task whose loss is not has no part in the step, and is flagged in the state's `present`; a loss
        below 1e-8 counts as 1e-8.

    Raises:
        ValueError: for `mu <= 0`, `warmup < 1`, a window that is not within it, a preference of the wrong length or
            sign, a reference of the wrong length, or an argument of the other form.

    References:
        Lin et al., Smooth Tchebycheff Scalarization for Multi-Objective Optimization, ICML 2024, arXiv 2402.19078;
        warm-up and log-losses as in the authors' code for multi-task learning, which has no preference.

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
    chosen = arguments.per_task("stch", num_tasks, default=1.0, tasks=tasks, preference=preference)
    chosen = chosen / num_tasks if preference is None else chosen
    if not log:
        for name, value in (("warmup", warmup), ("window", window)):
            if value is not None:
                raise ValueError(f"stch({name}={value}) is of log-losses; log=False has no warm-up.")
        return _plain(num_tasks, mu, chosen, arguments.numbers("stch", num_tasks, tasks, reference=reference))
    if reference is not None:
        raise ValueError("stch(reference=...) is of plain losses; expected log=False beside it.")
    return _of_logs(num_tasks, mu, num_tasks * chosen, 100 if warmup is None else warmup, window)


def _plain(num_tasks: int, mu: float, preference: Any, reference: jax.Array) -> Balancer:
    """Of plain losses."""

    def rule(seen: Observation, state: tuple) -> tuple[jax.Array, tuple]:
        u = jnp.asarray(preference, seen.losses.dtype)
        above = jnp.where(seen.present, seen.losses - reference.astype(seen.losses.dtype), 0.0)
        return u * among_present.softmax(u * above / mu, seen.present), state

    return from_rule(rule, num_tasks, sees="losses", needs_losses=True)


def _of_logs(num_tasks: int, mu: float, preference: Any, warmup: int, window: int | None) -> Balancer:
    """Of log-losses over their nadir; a preference of ones takes all alike."""
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
        u = jnp.asarray(preference, losses.dtype)
        shares = among_present.softmax(
            u * (jnp.log(losses) - jnp.log(among_present.positive(nadir))) / mu, seen.present
        )
        smooth = among_present.count(seen.present) * u * shares / losses
        weights = jnp.where(state.step < warmup, u / losses, smooth)
        in_window = (state.step >= warmup - window) & (state.step < warmup)
        late = (state.step >= warmup) & (state.number == 0)
        counted = (in_window | late) & seen.present & typical_size.in_range(seen.losses)
        usual = state.total / jnp.maximum(state.number, 1.0)
        bounded = typical_size.limited(seen.losses.astype(jnp.float32), usual, state.number)
        total = state.total + jnp.where(counted, bounded, 0.0)
        # A step counter that stays put after the warm-up never overflows.
        return weights, STCHState(jnp.minimum(state.step + 1, warmup), total, state.number + counted)

    return from_rule(rule, num_tasks, sees="losses", init=init, needs_losses=True, needs_positive_losses=True)
