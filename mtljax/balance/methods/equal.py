"""Linear scalarisation: every loss counts the same."""

import jax
import jax.numpy as jnp

from mtljax.balance.balancer import Balancer
from mtljax.balance.rule import Observation, from_rule


def equal(num_tasks: int) -> Balancer:
    """Weight 1 for every task: linear scalarisation, `d = sum_t g_t`.

    It sees the losses only, so a training step needs one backward pass.

    Args:
        num_tasks: T, the number of tasks.

    Returns:
        An optax `Aggregator`: a Jacobian with shared leaves `(T, *shape)` in, a gradient in the shapes of `params` out.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.equal(num_tasks=2)
        >>> direction, _ = balancer.update(jnp.array([[1.0, 0.0], [-1.0, 1.0]]), balancer.init(params), params)
        >>> print(direction)
        [0. 1.]
    """

    def rule(seen: Observation, state: tuple) -> tuple[jax.Array, tuple]:
        return jnp.ones(num_tasks, jnp.float32), state

    return from_rule(rule, num_tasks, sees="losses")
