"""COSMOS: the weighted sum of the losses, and their angle to a preference."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from mtljax.balance import arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.rule import from_scalarization
from mtljax.balance.solvers.linear_algebra import length

_LEAST = 1e-8  # of the losses' length, below which they have no direction


def cosmos(
    num_tasks: int,
    preference: arguments.Numbers | None = None,
    penalty: float = 1.0,
    tasks: Sequence[str] | None = None,
) -> Balancer:
    """The gradient of `sum_t r_t L_t - penalty cos(r, L)`, with a preference vector r.

    Losses that together are no longer than 1e-8 have no angle, and no penalty.

    Args:
        num_tasks: T, the number of tasks.
        preference: r, T numbers of at least 0, not all 0; 1/T each by default. Used as given, not normalised.
        penalty: lambda, at least 0; 0 leaves the weighted sum.
        tasks: the tasks' names in the order of the losses, with which `preference` may be a dict name -> number.

    Returns:
        An optax `Aggregator`; it sees the losses only, and its `update` needs `losses=`, shape (T,).

    Raises:
        ValueError: for a preference of the wrong length or sign, or `penalty < 0`.

    References:
        Ruchte and Grabocka, Scalable Pareto Front Approximation for Deep Multi-Objective Learning, ICDM 2021,
        equation 9, without the conditioning of the model on r.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.cosmos(2, preference=(0.5, 0.5), penalty=0.0)
        >>> direction, _ = balancer.update(jnp.eye(2), balancer.init(params), params, losses=jnp.array([1.0, 4.0]))
        >>> print(direction)
        [0.5 0.5]
    """
    chosen = arguments.per_task("cosmos", num_tasks, default=1.0, tasks=tasks, preference=preference)
    chosen = chosen / num_tasks if preference is None else chosen
    arguments.non_negative("cosmos", penalty=penalty)

    def scalarize(losses: jax.Array, preference: jax.Array, present: jax.Array) -> jax.Array:
        del present  # An absent task's loss and preference are 0.
        weighted, size = jnp.sum(preference * losses), length(losses)
        known = size > _LEAST
        # Each is divided first: products of large numbers would not be finite.
        cosine = jnp.sum(preference / length(preference) * (losses / jnp.where(known, size, 1.0)))
        return weighted - penalty * jnp.where(known, cosine, 0.0)

    return from_scalarization(scalarize, num_tasks, chosen)
