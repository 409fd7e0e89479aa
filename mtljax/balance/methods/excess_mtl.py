"""Balancers that keep every task's gradient from step to step: MoCo, DB-MTL, ExcessMTL."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mtljax.balance import among_present, arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.gramian import Rows, combine_rows, gramian_of_rows
from mtljax.balance.memory import tracking, typical_size
from mtljax.balance.rule import Observation, from_jacobian_rule
from mtljax.balance.solvers import quadratic_program


class MoCoState(NamedTuple):
    """State of `moco`.

    Attributes:
        step: int32, steps taken.
        weights: lambda, (T,) float32, on the simplex.
        typical: of the lengths of the gradients.
        gradients: Y, for each leaf of the parameters `(T, *shape)`; zeros for private leaves.
    """

    step: jax.Array
    weights: jax.Array
    typical: typical_size.Typical
    gradients: list[jax.Array]


def moco(
    num_tasks: int,
    beta: float = 0.5,
    beta_sigma: float = 0.5,
    gamma: float = 0.1,
    gamma_sigma: float = 0.5,
    rho: float = 0.0,
) -> Balancer:
    """MGDA on tracked gradients, which takes the bias out of its noise.

    In step k = 1, 2, ...: `Y <- Y - beta_k (Y - J)`, `lambda <- P(lambda - gamma_k (Y Y^T + rho I) lambda)`, P the
    projection onto the simplex; `d = Y^T lambda`. `beta_k = beta k^-beta_sigma`, `gamma_k = gamma k^-gamma_sigma`.
    Y starts at 0 and lambda at 1/T. A task that is absent keeps its row of Y and its share, and k of `beta_k` counts
    its own steps. A gradient of more than ten times the task's usual length counts as ten times that.

    Args:
        num_tasks: T.
        beta: rate of tracking, in [0, 1].
        beta_sigma: its decay, at least 0.
        gamma: rate of the weights, at least 0.
        gamma_sigma: its decay, at least 0.
        rho: regularisation of the weights, at least 0.

    Returns:
        An optax `Aggregator` that sees every element of the Jacobian and keeps T gradients of every leaf, float32.

    Raises:
        ValueError: for numbers out of range.

    References:
        Fernando et al., Mitigating Gradient Bias in Multi-objective Learning, ICLR 2023, equations 8 to 10; rates and
        the order of the three updates as in the authors' code.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.moco(num_tasks=2, beta=1.0, gamma=0.0)
        >>> direction, _ = balancer.update(jnp.array([[2.0, 0.0], [0.0, 4.0]]), balancer.init(params), params)
        >>> print(direction)
        [1. 2.]
    """
    arguments.fraction("moco", beta=beta)
    arguments.non_negative("moco", beta_sigma=beta_sigma, gamma=gamma, gamma_sigma=gamma_sigma, rho=rho)

    def rule(seen: Observation, state: MoCoState) -> tuple[Rows, jax.Array, MoCoState]:
        step = state.step + 1
        k = step.astype(jnp.float32)
        fresh, counted, typical = tracking.tempered(seen.rows, seen.present, state.typical)
        rate = beta * jnp.maximum(typical.number, 1.0) ** -beta_sigma

        def track(y: jax.Array, g: jax.Array) -> jax.Array:
            return y - rate.astype(y.dtype).reshape(-1, *[1] * (y.ndim - 1)) * (y - g)

        gradients = tracking.moved(state.gradients, fresh, counted, track)
        rows = tracking.shared(gradients, seen.rows)
        tracked = tracking.finite_gramian(rows, num_tasks)
        tracked = jnp.where(seen.present[:, None] & seen.present, tracked, 0.0)
        start = among_present.normalised(state.weights.astype(tracked.dtype), seen.present)
        slope = tracking.limited(quadratic_program.dot(tracked, start)[None])[0] + rho * start
        weights = quadratic_program.onto_simplex(start - gamma * k**-gamma_sigma * slope, seen.present)
        kept = among_present.remembered(state.weights, weights, seen.present)
        return combine_rows(rows, weights), weights, MoCoState(step, kept, typical, gradients)

    def init(leaves: list[jax.ShapeDtypeStruct]) -> MoCoState:
        uniform = jnp.full(num_tasks, 1 / num_tasks, jnp.float32)
        return MoCoState(jnp.int32(0), uniform, typical_size.nothing(num_tasks), tracking.zeros(leaves, num_tasks))

    return from_jacobian_rule(rule, num_tasks, init=init)


class DBMTLState(NamedTuple):
    """State of `db_mtl`.

    Attributes:
        typical: of the lengths of the gradients of log-losses, and how many there were.
        gradients: for each leaf of the parameters `(T, *shape)`, running means of the gradients of log-losses; zeros
            for private leaves.
    """

    typical: typical_size.Typical
    gradients: list[jax.Array]


def db_mtl(num_tasks: int, beta: float = 0.9, sigma: float = 0.0) -> Balancer:
    """Dual balancing: gradients of log-losses, averaged over steps and made as long as the longest of them.

    In step k = 1, 2, ...: `g_t <- beta_k g_t + (1 - beta_k) grad log L_t`, `beta_k = beta k^-sigma`; then
    `d = sum_t (max |g| / |g_t|) g_t`. The means start at 0. A task that is absent keeps its own, and k counts its own
    steps. A gradient of more than ten times the task's usual length counts as ten times that.

    Private parameters get the gradient of the loss itself, where the authors' get that of its logarithm: so with every
    method here that reads gradients, that a head's learning rate does not depend on the method. Adam and its like do
    not feel the factor. For the authors' heads, put a loss weighting of `1 / L` before: `compose(geometric_mean(T),
    db_mtl(T))` gives it up to one factor for all.

    Args:
        num_tasks: T.
        beta: weight of the past, in [0, 1).
        sigma: its decay, at least 0.

    Returns:
        An optax `Aggregator` that sees every element of the Jacobian and keeps T gradients of every leaf, float32. Its
        `update` needs `losses=`, shape (T,), positive: a task whose loss is not has no part in the step, and is flagged
        in the state's `present`. A loss below 1e-8 counts as 1e-8, where the authors add 1e-8.

    Raises:
        ValueError: for numbers out of range.

    References:
        Lin et al., Dual-Balancing for Multi-Task Learning, 2023, algorithm 1.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.db_mtl(num_tasks=2, beta=0.0)
        >>> state, jacobian = balancer.init(params), jnp.array([[2.0, 0.0], [0.0, 4.0]])
        >>> direction, _ = balancer.update(jacobian, state, params, losses=jnp.array([1.0, 4.0]))
        >>> print(direction)  # of [[2, 0], [0, 1]]
        [2. 2.]
    """
    arguments.fraction("db_mtl", beta=beta)
    if arguments.known(beta) and beta == 1:
        raise ValueError("db_mtl(beta=1): beta must be below 1, or nothing is ever learned.")
    arguments.non_negative("db_mtl", sigma=sigma)

    def rule(seen: Observation, state: DBMTLState) -> tuple[Rows, jax.Array, DBMTLState]:
        inverse = 1 / among_present.positive(seen.losses.astype(jnp.float32))
        fresh, counted, typical = tracking.tempered(seen.rows, seen.present, state.typical, inverse)
        past = beta * jnp.maximum(typical.number, 1.0) ** -sigma

        def average(old: jax.Array, row: jax.Array) -> jax.Array:
            return row + past.astype(row.dtype).reshape(-1, *[1] * (row.ndim - 1)) * (old - row)

        gradients = tracking.moved(state.gradients, fresh, counted, average)
        rows = tracking.shared(gradients, seen.rows)
        norms = jnp.where(seen.present, gramian_of_rows(rows, num_tasks).norms, 0.0)
        weights = jnp.where(norms > 0, jnp.max(norms) / jnp.where(norms > 0, norms, 1.0), 0.0)
        weights = jnp.minimum(weights, jnp.finfo(weights.dtype).max)
        return combine_rows(rows, weights), weights, DBMTLState(typical, gradients)

    def init(leaves: list[jax.ShapeDtypeStruct]) -> DBMTLState:
        return DBMTLState(typical_size.nothing(num_tasks), tracking.zeros(leaves, num_tasks))

    return from_jacobian_rule(rule, num_tasks, init=init, needs_losses=True, needs_positive_losses=True)


class ExcessMTLState(NamedTuple):
    """State of `excess_mtl`.

    Attributes:
        weights: (T,) float32, on the simplex.
        initial: (T,) float32, the sum of the estimated excess risks over each task's warm-up.
        number: (T,) float32, how many they are.
        typical: of the lengths of the gradients.
        roots: for each leaf of the parameters `(T, *shape)`, the root of the sum of squared gradients; zeros for
            private leaves.
    """

    weights: jax.Array
    initial: jax.Array
    number: jax.Array
    typical: typical_size.Typical
    roots: list[jax.Array]


def excess_mtl(num_tasks: int, step_size: float = 1.0, warmup: int = 1) -> Balancer:
    """Weights that grow with a task's excess risk: how far its loss still is from its own best.

    The excess risk is estimated as `e_t = g_t^T diag(sqrt(sum g_t^2))^-1 g_t`, the sum over all steps so far, relative
    to its mean over the first `warmup` steps, in which the weights are 1/T; after them
    `w_t <- w_t exp(step_size e_t) / sum`, and `d = J^T w`. A task that is absent keeps what is known of it, its weight
    too, and its warm-up is of its own steps. A gradient of more than ten times the task's usual length counts as ten
    times that in the sum.

    Private parameters get their own gradient, where the authors' are scaled by the weight: so with every method here
    that reads gradients, that a head's learning rate does not depend on the method. Adam and its like do not feel the
    factor.

    Args:
        num_tasks: T.
        step_size: of the weights, > 0.
        warmup: steps of the warm-up, at least 1; the paper takes three epochs.

    Returns:
        An optax `Aggregator` that sees every element of the Jacobian and keeps T arrays of every leaf, float32.

    Raises:
        ValueError: for numbers out of range.

    References:
        He et al., Robust Multi-Task Learning with Excess Risks, ICML 2024, equations 6, 7 and 9.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params, jacobian = jnp.zeros(2), jnp.array([[2.0, 0.0], [0.0, 4.0]])
        >>> balancer = mtl.excess_mtl(num_tasks=2)
        >>> state = balancer.init(params)
        >>> for scale in ([1.0, 1.0], [0.1, 1.0]):  # the first task is nearly done
        ...     direction, state = balancer.update(jnp.array(scale)[:, None] * jacobian, state, params)
        >>> bool(state.weights[1] > 0.6)
        True
    """
    arguments.positive("excess_mtl", step_size=step_size)
    arguments.whole("excess_mtl", 1, warmup=warmup)

    def rule(seen: Observation, state: ExcessMTLState) -> tuple[Rows, jax.Array, ExcessMTLState]:
        fresh, counted, typical = tracking.tempered(seen.rows, seen.present, state.typical)
        roots = tracking.moved(state.roots, fresh, counted, jnp.hypot)
        risks = jnp.zeros(num_tasks, jnp.float32)
        for row, root in zip(fresh, roots, strict=True):
            if row is not None:
                terms = jnp.where(root > 0, row.astype(root.dtype) * (row / jnp.where(root > 0, root, 1.0)), 0.0)
                risks += jnp.sum(terms, axis=tuple(range(1, row.ndim))).astype(jnp.float32)
        warming = state.number < warmup
        initial = state.initial + jnp.where(warming & counted, risks, 0.0)
        number = state.number + (warming & counted)
        first = initial / jnp.maximum(number, 1.0)
        relative = jnp.where(first > 0, risks / jnp.where(first > 0, first, 1.0), 0.0)
        moving = ~warming & counted & (first > 0)
        logits = jnp.log(jnp.maximum(state.weights, jnp.finfo(jnp.float32).tiny)) + step_size * relative
        kept = among_present.remembered(state.weights, among_present.softmax(logits, moving), moving)
        weights = jnp.where(seen.present, kept, 0.0)
        weights = weights / jnp.maximum(jnp.sum(weights), jnp.finfo(jnp.float32).tiny)
        state = ExcessMTLState(kept, initial, number, typical, roots)
        return combine_rows(seen.rows, weights), weights, state

    def init(leaves: list[jax.ShapeDtypeStruct]) -> ExcessMTLState:
        zeros = jnp.zeros(num_tasks, jnp.float32)
        uniform = jnp.full(num_tasks, 1 / num_tasks, jnp.float32)
        return ExcessMTLState(uniform, zeros, zeros, typical_size.nothing(num_tasks), tracking.zeros(leaves, num_tasks))

    return from_jacobian_rule(rule, num_tasks, init=init)
