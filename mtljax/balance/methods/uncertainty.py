"""Homoscedastic uncertainty: loss weights that are learned."""

import jax
import jax.numpy as jnp
import optax

from mtljax.balance.balancer import Balancer
from mtljax.balance.memory import learned_scales


def uncertainty(num_tasks: int, optimizer: optax.GradientTransformation | None = None) -> Balancer:
    """Weighs losses by learned homoscedastic uncertainty: minimises `sum_t L_t exp(-s_t) / 2 + s_t / 2` over s too.

    So `w_t = exp(-s_t) / 2`, with `s_t = log sigma_t^2` from 0 on. The weights of a step are those from before s moves.
    A task that is absent keeps its s and its optimiser state. s stays within -30 and 30: where a loss is below zero,
    as likelihoods may be, nothing else would hold it.

    Args:
        num_tasks: T, the number of tasks.
        optimizer: what moves s, each task's apart from the others'; `optax.adam(1e-3)` by default.

    Returns:
        An optax `Aggregator`; it sees the losses only, and its `update` needs `losses=`, shape (T,).

    References:
        Kendall, Gal and Cipolla, Multi-Task Learning Using Uncertainty to Weigh Losses, CVPR 2018, equation 7.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl, optax
        >>> params, jacobian = jnp.zeros(2), jnp.eye(2)
        >>> balancer = mtl.uncertainty(2, optimizer=optax.sgd(0.1))
        >>> state = balancer.init(params)
        >>> for _ in range(300):
        ...     direction, state = balancer.update(jacobian, state, params, losses=jnp.array([1.0, 4.0]))
        >>> [round(float(w), 2) for w in direction]  # 1 / (2 L)
        [0.5, 0.13]
    """

    def gradient(scales: jax.Array, losses: jax.Array) -> jax.Array:
        return 0.5 - 0.5 * jnp.exp(-scales) * losses

    return learned_scales.balancer_of(num_tasks, lambda scales: 0.5 * jnp.exp(-scales), gradient, optimizer)
