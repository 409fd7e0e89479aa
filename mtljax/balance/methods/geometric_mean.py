"""The geometric mean of the losses."""

import jax
import jax.numpy as jnp

from mtljax.balance import among_present
from mtljax.balance.balancer import Balancer
from mtljax.balance.rule import Observation, from_rule


def geometric_mean(num_tasks: int) -> Balancer:
    """The gradient of the geometric mean `(prod_t L_t)^(1/T)`: `w_t = geometric mean / (T L_t)`.

    Args:
        num_tasks: T, the number of tasks.

    Returns:
        An optax `Aggregator`; it sees the losses only, and its `update` needs `losses=`, shape (T,), positive: a task
        whose loss is not has no part in the step, and is flagged in the state's `present`. A loss below 1e-8 counts as
        1e-8.

    References:
        Chennupati et al., MultiNet++: Multi-Stream Feature Aggregation and Geometric Loss Strategy, CVPR workshops
        2019.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.geometric_mean(2)
        >>> state = balancer.init(params)
        >>> direction, _ = balancer.update(jnp.eye(2), state, params, losses=jnp.array([1.0, 4.0]))
        >>> [round(float(w), 3) for w in direction]  # 2 / (2 L)
        [1.0, 0.25]
    """

    def rule(seen: Observation, state: tuple) -> tuple[jax.Array, tuple]:
        losses = among_present.positive(seen.losses)
        middle = jnp.exp(among_present.mean(jnp.log(losses), seen.present))
        return middle / (among_present.count(seen.present) * losses), state

    return from_rule(rule, num_tasks, sees="losses", needs_losses=True, needs_positive_losses=True)
