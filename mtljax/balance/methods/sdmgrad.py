"""Stochastic MGDA on independent samples (MoDo, SDMGrad), and weights averaged over steps (CR-MOGM)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mtljax.balance import among_present, arguments
from mtljax.balance.balancer import Balancer, check_num_tasks
from mtljax.balance.gramian import Rows, combine_rows, root
from mtljax.balance.memory import tracking
from mtljax.balance.methods.mgda import mgda
from mtljax.balance.rule import Observation, from_jacobian_rule, from_rule
from mtljax.balance.solvers import quadratic_program


def modo(num_tasks: int, gamma: float = 0.1, rho: float = 0.1) -> Balancer:
    """MGDA's weights by projected descent along an unbiased estimate from two independent samples.

    `lambda <- P(lambda - gamma (J_1 J_2^T lambda + rho lambda))`, P the projection onto the simplex, lambda from 1/T
    on; `d = J_3^T lambda`. A task that is absent keeps its share.

    Args:
        num_tasks: T.
        gamma: rate of the weights, at least 0.
        rho: their regularisation, at least 0.

    Returns:
        An optax `Aggregator` with `samples = 3`: the training step splits its batch in three; in a loop of your own,
        give `update(..., samples=(J_1, J_2, J_3))`. Without them the Jacobian stands for each.

    Raises:
        ValueError: for negative numbers, or another number of samples.

    References:
        Chen et al., Three-Way Trade-Off in Multi-Objective Learning: Optimization, Generalization and
        Conflict-Avoidance, NeurIPS 2023, algorithm 1.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.modo(num_tasks=2, gamma=0.5, rho=0.0)
        >>> direction, _ = balancer.update(jnp.array([[1.0, 0.0], [0.0, 0.5]]), balancer.init(params), params)
        >>> [round(float(x), 4) for x in direction]
        [0.4062, 0.2969]
    """
    arguments.non_negative("modo", gamma=gamma, rho=rho)

    def rule(seen: Observation, weights: jax.Array) -> tuple[Rows, jax.Array, jax.Array]:
        cross = tracking.cross_gramian(*seen.samples[:2], num_tasks)
        start = among_present.normalised(weights.astype(cross.dtype), seen.present)
        slope = tracking.limited(quadratic_program.dot(cross, start)[None])[0] + rho * start
        found = quadratic_program.onto_simplex(start - gamma * slope, seen.present)
        return combine_rows(seen.samples[2], found), found, among_present.remembered(weights, found, seen.present)

    def init(leaves: Any) -> jax.Array:
        del leaves
        return jnp.full(num_tasks, 1 / num_tasks, jnp.float32)

    return from_jacobian_rule(rule, num_tasks, init=init, samples=3)


def sdmgrad(
    num_tasks: int, lam: float = 0.3, lr: float = 10.0, momentum: float = 0.5, iterations: int = 20
) -> Balancer:
    """Direction-oriented MGDA: near the mean gradient, with weights from two independent samples.

    w on the simplex descends `w^T A w / 2 + lam w^T A 1/T`, `A = J_1 J_2^T` over the squared mean of the roots of its
    diagonal, by `iterations` projected steps with momentum from the last step's w; then
    `d = (J_3^T w + lam g_0) / (1 + lam)`, `g_0` the mean gradient of the third sample.

    Args:
        num_tasks: T.
        lam: pull towards the mean gradient, at least 0.
        lr: of the inner steps, > 0.
        momentum: of the inner steps, in [0, 1].
        iterations: their number, at least 1.

    Returns:
        An optax `Aggregator` with `samples = 3`, as `modo`.

    Raises:
        ValueError: for numbers out of range, or another number of samples.

    References:
        Xiao, Ban and Ji, Direction-oriented Multi-objective Learning: Simple and Provable Stochastic Algorithms,
        NeurIPS 2023, algorithm 1; scaling and inner steps as in the authors' code.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.sdmgrad(num_tasks=2, lam=0.0)
        >>> direction, _ = balancer.update(jnp.array([[1.0, 0.0], [0.0, 1.0]]), balancer.init(params), params)
        >>> print(direction)
        [0.5 0.5]
    """
    arguments.non_negative("sdmgrad", lam=lam)
    arguments.positive("sdmgrad", lr=lr)
    arguments.fraction("sdmgrad", momentum=momentum)
    arguments.whole("sdmgrad", 1, iterations=iterations)

    def rule(seen: Observation, weights: jax.Array) -> tuple[Rows, jax.Array, jax.Array]:
        cross = tracking.cross_gramian(*seen.samples[:2], num_tasks)
        number = jnp.maximum(jnp.sum(seen.present), 1)
        size = jnp.sum(root(jnp.diagonal(cross))) / number
        relative = jnp.where(size > 0, cross / jnp.where(size > 0, size, 1.0) / jnp.where(size > 0, size, 1.0), 0.0)
        mean = (seen.present / number).astype(cross.dtype)

        def step(_: int, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            w, velocity = carry
            velocity = momentum * velocity + quadratic_program.dot(relative, w + lam * mean)
            return quadratic_program.onto_simplex(w - lr * velocity, seen.present), velocity

        start = among_present.normalised(weights.astype(cross.dtype), seen.present)
        found, _ = jax.lax.fori_loop(0, iterations, step, (start, jnp.zeros_like(start)))
        whole = (found + lam * mean) / (1 + lam)
        return combine_rows(seen.samples[2], whole), whole, among_present.remembered(weights, found, seen.present)

    def init(leaves: Any) -> jax.Array:
        del leaves
        return jnp.full(num_tasks, 1 / num_tasks, jnp.float32)

    return from_jacobian_rule(rule, num_tasks, init=init, samples=3)


class CRMOGMState(NamedTuple):
    """State of `cr_mogm`.

    Attributes:
        base: the state of the balancer whose weights are averaged.
        weights: (T,) float32, the running mean.
        known: (T,) bool, which of them there are.
    """

    base: Any
    weights: jax.Array
    known: jax.Array


def cr_mogm(num_tasks: int, balancer: Balancer | None = None, alpha: float = 0.9) -> Balancer:
    """Averages the weights of another gradient method over steps, which takes the correlation with the noise out of
    them.

    `lambda <- alpha lambda + (1 - alpha) w`, w the weights of the other method; the first are taken as they are. A task
    that is absent keeps its own.

    Args:
        num_tasks: T.
        balancer: any that gives a weight a task; `mgda(num_tasks)` by default.
        alpha: weight of the past, in [0, 1].

    Returns:
        An optax `Aggregator`.

    Raises:
        ValueError: for alpha out of range, or a balancer without weights or of another number of tasks.

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
    check_num_tasks(num_tasks)
    arguments.fraction("cr_mogm", alpha=alpha)
    base = mgda(num_tasks) if balancer is None else balancer
    if not isinstance(base, Balancer) or base.weigh is None or base.num_tasks != num_tasks:
        raise ValueError(
            f"cr_mogm(balancer=...): expected one that gives {num_tasks} weights, such as mgda(num_tasks)."
        )

    def rule(seen: Observation, state: CRMOGMState) -> tuple[jax.Array, CRMOGMState, jax.Array]:
        found, base_state = base.weigh(state.base, losses=seen.losses, gramian=seen.gramian, present=seen.present)
        old = jnp.where(state.known, state.weights.astype(found.shared.dtype), found.shared)
        mean = alpha * old + (1 - alpha) * found.shared
        kept = jnp.where(seen.present, mean.astype(jnp.float32), state.weights)
        return mean, CRMOGMState(base_state, kept, state.known | seen.present), base_state.solved

    def init() -> CRMOGMState:
        return CRMOGMState(base.init(()), jnp.zeros(num_tasks, jnp.float32), jnp.zeros(num_tasks, bool))

    needs = base.needs_positive_losses
    return from_rule(rule, num_tasks, sees=base.sees, init=init, needs_positive_losses=needs)
