"""Random gradient weighting."""

import jax

from mtljax.balance import among_present
from mtljax.balance.balancer import Balancer
from mtljax.balance.rule import Observation, from_rule


def random_direction(num_tasks: int, seed: int = 0) -> Balancer:
    """`random_weighting` of the gradients: private parameters get their own gradient, unscaled.

    Args:
        num_tasks: T, the number of tasks.
        seed: of the weights; the key is kept in the state.

    Returns:
        An optax `Aggregator`.

    References:
        Lin et al., Reasonable Effectiveness of Random Weighting, TMLR 2022: RGW.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.random_direction(num_tasks=2, seed=1)
        >>> direction, _ = balancer.update(jnp.eye(2), balancer.init(params), params)
        >>> round(float(direction.sum()), 3)
        1.0
    """

    def rule(seen: Observation, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        return among_present.random_shares(seen.present, key)

    return from_rule(rule, num_tasks, sees="losses", init=lambda: jax.random.key(seed), scales_private=False)
