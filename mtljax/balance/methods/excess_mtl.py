"""ExcessMTL: weights by how far each loss still is from its best."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mtljax.balance import among_present, arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.gramian import Rows, combine_rows
from mtljax.balance.memory import tracking, typical_size
from mtljax.balance.rule import Observation, from_jacobian_rule


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
        num_tasks: T, the number of tasks.
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

    def init(leaves: Sequence[jax.ShapeDtypeStruct]) -> ExcessMTLState:
        zeros = jnp.zeros(num_tasks, jnp.float32)
        uniform = among_present.uniform(num_tasks)
        return ExcessMTLState(uniform, zeros, zeros, typical_size.nothing(num_tasks), tracking.zeros(leaves, num_tasks))

    return from_jacobian_rule(rule, num_tasks, init=init)
