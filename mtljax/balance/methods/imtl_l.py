"""IMTL-L: learned weights under which all losses are of one size."""

import jax
import jax.numpy as jnp
import optax

from mtljax.balance.balancer import Balancer
from mtljax.balance.memory import learned_scales


def imtl_l(num_tasks: int, optimizer: optax.GradientTransformation | None = None) -> Balancer:
    """Brings all weighted losses to the same size: minimises `sum_t exp(s_t) L_t - s_t` over s too.

    So `w_t = exp(s_t)`, with s from 0 on. The weights of a step are those from before s moves. A task that is absent
    keeps its s and its optimiser state. s stays within -30 and 30: nothing else would hold it where a loss is at or
    below zero. Put `imtl_g` behind it for IMTL: `mtl.imtl`.

    Args:
        num_tasks: T, the number of tasks.
        optimizer: what moves s, each task's apart from the others'; `optax.adam(1e-3)` by default.

    Returns:
        An optax `Aggregator`; it sees the losses only, and its `update` needs `losses=`, shape (T,).

    References:
        Liu et al., Towards Impartial Multi-task Learning, ICLR 2021, section 3.2.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl, optax
        >>> params, jacobian = jnp.zeros(2), jnp.eye(2)
        >>> balancer = mtl.imtl_l(2, optimizer=optax.sgd(0.1))
        >>> state = balancer.init(params)
        >>> for _ in range(300):
        ...     direction, state = balancer.update(jacobian, state, params, losses=jnp.array([1.0, 4.0]))
        >>> [round(float(w), 2) for w in direction]  # 1 / L
        [1.0, 0.25]
    """

    def gradient(scales: jax.Array, losses: jax.Array) -> jax.Array:
        return jnp.exp(scales) * losses - 1

    return learned_scales.balancer_of(num_tasks, jnp.exp, gradient, optimizer)
