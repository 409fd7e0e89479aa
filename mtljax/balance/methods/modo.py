"""MoDo: MGDA's weights from independent samples."""

import jax

from mtljax.balance import among_present, arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.gramian import Rows, combine_rows, dot
from mtljax.balance.memory import tracking
from mtljax.balance.rule import Observation, from_jacobian_rule
from mtljax.balance.solvers import quadratic_program


def modo(num_tasks: int, gamma: float = 0.1, rho: float = 0.1) -> Balancer:
    """MGDA's weights by projected descent along an unbiased estimate from two independent samples.

    `lambda <- P(lambda - gamma (J_1 J_2^T lambda + rho lambda))`, P the projection onto the simplex, lambda from 1/T
    on; `d = J_3^T lambda`. A task that is absent keeps its share.

    Args:
        num_tasks: T, the number of tasks.
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
        one, two, three = seen.samples
        cross = tracking.cross_gramian(one, two, num_tasks)
        start = among_present.normalised(weights.astype(cross.dtype), seen.present)
        slope = tracking.limited(dot(cross, start)[None])[0] + rho * start
        found = quadratic_program.onto_simplex(start - gamma * slope, seen.present)
        return combine_rows(three, found), found, among_present.remembered(weights, found, seen.present)

    return from_jacobian_rule(rule, num_tasks, init=lambda leaves: among_present.uniform(num_tasks), samples=3)
