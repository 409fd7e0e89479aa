"""IMTL: `imtl_l`, then `imtl_g`."""

import optax

from mtljax.balance.balancer import Balancer
from mtljax.balance.compose import compose
from mtljax.balance.methods.imtl_g import imtl_g
from mtljax.balance.methods.imtl_l import imtl_l


def imtl(num_tasks: int, optimizer: optax.GradientTransformation | None = None) -> Balancer:
    """IMTL: `imtl_l` on the losses, then `imtl_g` on the gradients of the losses so weighted.

    Args:
        num_tasks: T, the number of tasks.
        optimizer: what moves the scales of `imtl_l`; `optax.adam(1e-3)` by default.

    Returns:
        An optax `Aggregator`; its `update` needs `losses=`, shape (T,). Private parameters feel the weights of
        `imtl_l`.

    References:
        Liu et al., Towards Impartial Multi-task Learning, ICLR 2021, algorithm 1.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.imtl(num_tasks=2)
        >>> state = balancer.init(params)
        >>> direction, _ = balancer.update(jnp.array([[4.0, 0.0], [0.0, 1.0]]), state, params, losses=jnp.ones(2))
        >>> [round(float(x), 3) for x in direction]
        [0.8, 0.8]
    """
    return compose(imtl_l(num_tasks, optimizer), imtl_g(num_tasks))
