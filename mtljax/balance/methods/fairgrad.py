"""FairGrad: alpha-fair gains of the tasks."""

import jax

from mtljax.balance import arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.rule import Observation, from_rule
from mtljax.balance.solvers import positive_equation


def fairgrad(num_tasks: int, alpha: float = 2.0) -> Balancer:
    """Alpha-fair gains: `d = J^T w` with `G w = w^(-1/alpha)`, `w > 0`.

    `alpha = 1` is proportional fairness (`nash_mtl`); towards infinity it becomes max-min fairness.

    Args:
        num_tasks: T, the number of tasks.
        alpha: > 0.

    Returns:
        An optax `Aggregator`.

    Raises:
        ValueError: for `alpha <= 0`.

    References:
        Ban and Ji, Fair Resource Allocation in Multi-Task Learning, ICML 2024, equation 6.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.fairgrad(num_tasks=2, alpha=2.0)
        >>> direction, _ = balancer.update(jnp.array([[1.0, 0.0], [0.0, 8.0]]), balancer.init(params), params)
        >>> [round(float(x), 3) for x in direction]  # w = |g|^(-4/3)
        [1.0, 0.5]
    """
    arguments.positive("fairgrad", alpha=alpha)

    def rule(seen: Observation, state: tuple) -> tuple[jax.Array, tuple, jax.Array]:
        weights, solved = positive_equation.solve(seen.gramian, alpha=float(alpha) if arguments.known(alpha) else alpha)
        return weights, state, solved

    return from_rule(rule, num_tasks, sees="gramian")
