"""CR-MOGM: weights averaged over steps."""

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from mtljax.balance import arguments
from mtljax.balance.balancer import Balancer, BalanceState, Weigh, Weights
from mtljax.balance.methods.mgda import mgda
from mtljax.balance.rule import Observation, from_rule


class CRMOGMState(NamedTuple):
    """State of `cr_mogm`.

    Attributes:
        base: the state of the balancer whose weights are averaged.
        weights: (T,) float32, the running mean.
        private: (T,) float32, that of the weights of the tasks' own parameters.
        known: (T,) bool, which of them there are.
    """

    base: Any
    weights: jax.Array
    private: jax.Array
    known: jax.Array


def cr_mogm(num_tasks: int, balancer: Balancer | None = None, alpha: float = 0.9) -> Balancer:
    """Averages the weights of another gradient method over steps, which takes the correlation with the noise out of
    them.

    `lambda <- alpha lambda + (1 - alpha) w`, w the weights of the other method; the first are taken as they are. A task
    that is absent keeps its own. So are those of private parameters, under a method that scales them.

    Args:
        num_tasks: T, the number of tasks.
        balancer: any that gives a weight a task; `mgda(num_tasks)` by default.
        alpha: weight of the past, in [0, 1].

    Returns:
        An optax `Aggregator`.

    Raises:
        ValueError: for alpha out of range, or a balancer without weights, of another number of tasks, or that needs a
            validation batch.

    References:
        Zhou et al., On the Convergence of Stochastic Multi-Objective Gradient Manipulation and Beyond, NeurIPS 2022,
        algorithm 1.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.cr_mogm(num_tasks=2, alpha=0.5)
        >>> state = balancer.init(params)
        >>> for jacobian in ([[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 1.0]]):
        ...     direction, state = balancer.update(jnp.array(jacobian), state, params)
        >>> print(state.weights)  # half of (0.5, 0.5) and half of (1, 0)
        [0.75 0.25]
    """
    arguments.check_num_tasks(num_tasks)
    arguments.fraction("cr_mogm", alpha=alpha)
    if isinstance(balancer, Balancer) and balancer.needs:
        raise ValueError(f"cr_mogm(balancer=...): the one given needs a {balancer.needs}; it works alone.")
    base = mgda(num_tasks) if balancer is None else balancer
    weigh = base.weigh if isinstance(base, Balancer) else None
    if weigh is None or base.num_tasks != num_tasks:
        raise ValueError(
            f"cr_mogm(balancer=...): expected one that gives {num_tasks} weights, such as mgda(num_tasks)."
        )

    def rule(seen: Observation, state: CRMOGMState) -> tuple[jax.Array, CRMOGMState, jax.Array]:
        found, base_state = weigh(state.base, losses=seen.losses, gramian=seen.gramian, present=seen.present)

        def averaged(old: jax.Array, new: jax.Array) -> tuple[jax.Array, jax.Array]:
            mean = alpha * jnp.where(state.known, old.astype(new.dtype), new) + (1 - alpha) * new
            return mean, jnp.where(seen.present, mean.astype(jnp.float32), old)

        mean, kept = averaged(state.weights, found.shared)
        _, private = averaged(state.private, found.private)
        return mean, CRMOGMState(base_state, kept, private, state.known | seen.present), base_state.solved

    def init() -> CRMOGMState:
        zeros = jnp.zeros(num_tasks, jnp.float32)
        return CRMOGMState(base.init(()), zeros, zeros, jnp.zeros(num_tasks, bool))

    needs = base.needs_positive_losses
    made = from_rule(rule, num_tasks, sees=base.sees, init=init, needs_positive_losses=needs)

    def weigh_private(state: BalanceState, **seen: Any) -> tuple[Weights, BalanceState]:
        weights, after = cast(Weigh, made.weigh)(state, **seen)
        private = jnp.where(after.present, after.rule.private.astype(weights.private.dtype), weights.private)
        return Weights(weights.shared, private), after

    return Balancer(
        cast(Any, made.init),
        num_tasks=num_tasks,
        sees=base.sees,
        weigh=weigh_private,
        needs_positive_losses=needs is True,
    )
