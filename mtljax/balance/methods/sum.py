"""The sum of the gradients."""

from typing import Any

import jax
import jax.numpy as jnp

from mtljax.balance.balancer import Balancer
from mtljax.balance.rule import Observation, from_rule


def sum(num_tasks: int) -> Balancer:
    """The sum of the gradients, `d = sum_t g_t`: as `equal`, told as a gradient method.

    Args:
        num_tasks: T, the number of tasks.

    Returns:
        An optax `Aggregator`.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.sum(num_tasks=2)
        >>> direction, _ = balancer.update(jnp.array([[1.0, 0.0], [-1.0, 1.0]]), balancer.init(params), params)
        >>> print(direction)
        [0. 1.]
    """

    def rule(seen: Observation, state: Any) -> tuple[jax.Array, Any]:
        return jnp.ones(num_tasks, jnp.float32), state

    return from_rule(rule, num_tasks, sees="losses", scales_private=False)
