"""The mean of the gradients."""

import jax
import jax.numpy as jnp

from mtljax.balance import among_present
from mtljax.balance.balancer import Balancer
from mtljax.balance.rule import Observation, from_rule


def mean(num_tasks: int) -> Balancer:
    """The mean of the gradients of the tasks that are present: `d = sum_t g_t / T`.

    Args:
        num_tasks: T, the number of tasks.

    Returns:
        An optax `Aggregator`. Private parameters get their own task's gradient, unscaled.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.mean(num_tasks=2)
        >>> direction, _ = balancer.update(jnp.array([[1.0, 0.0], [-1.0, 1.0]]), balancer.init(params), params)
        >>> print(direction)
        [0.  0.5]
    """

    def rule(seen: Observation, state: tuple) -> tuple[jax.Array, tuple]:
        return jnp.ones(num_tasks, jnp.float32) / among_present.count(seen.present), state

    return from_rule(rule, num_tasks, sees="losses", scales_private=False)
