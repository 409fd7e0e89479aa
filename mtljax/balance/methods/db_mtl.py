"""DB-MTL: gradients of log-losses, averaged over steps and made equally long."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mtljax.balance import among_present, arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.gramian import Rows, combine_rows, gramian_of_rows
from mtljax.balance.memory import tracking, typical_size
from mtljax.balance.rule import Observation, from_jacobian_rule


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
        num_tasks: T, the number of tasks.
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

    def init(leaves: Sequence[jax.ShapeDtypeStruct]) -> DBMTLState:
        return DBMTLState(typical_size.nothing(num_tasks), tracking.zeros(leaves, num_tasks))

    return from_jacobian_rule(rule, num_tasks, init=init, needs_losses=True, needs_positive_losses=True)
