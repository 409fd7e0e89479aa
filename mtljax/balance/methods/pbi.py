"""PBI: penalty-based boundary intersection."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from mtljax.balance import arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.rule import from_scalarization
from mtljax.balance.solvers.linear_algebra import length

_LARGE = 2.0**64  # sums of as many tasks as there may be, of losses that are not larger, are finite


def pbi(
    num_tasks: int,
    preference: arguments.Numbers | None = None,
    theta: float = 5.0,
    reference: Sequence[float] | Mapping[str, float] | None = None,
    tasks: Sequence[str] | None = None,
) -> Balancer:
    """Penalty-based boundary intersection: the gradient of `d_1 + theta d_2`.

    `d_1` is the length of `L - z` along the preference vector, `d_2` its distance from it.

    Args:
        num_tasks: T, the number of tasks.
        preference: T numbers of at least 0, not all 0; all equal by default.
        theta: weight of the distance, at least 0.
        reference: z, the ideal losses, T numbers; 0 by default.
        tasks: the tasks' names in the order of the losses, with which both may be a dict name -> number.

    Returns:
        An optax `Aggregator`; it sees the losses only, and its `update` needs `losses=`, shape (T,). A weight may be
        negative, where a loss is below its share.

    Raises:
        ValueError: for a preference of the wrong length or sign, a reference of the wrong length, or `theta < 0`.

    References:
        Zhang and Li, MOEA/D: A Multiobjective Evolutionary Algorithm Based on Decomposition, IEEE TEVC 2007, section
        III.C.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.pbi(2, preference=(1.0, 0.0), theta=2.0)
        >>> direction, _ = balancer.update(jnp.eye(2), balancer.init(params), params, losses=jnp.array([1.0, 4.0]))
        >>> print(direction)
        [1. 2.]
    """
    chosen = arguments.per_task("pbi", num_tasks, default=1.0, tasks=tasks, preference=preference)
    arguments.non_negative("pbi", theta=theta)
    ideal = arguments.numbers("pbi", num_tasks, tasks, reference=reference)

    def scalarize(losses: jax.Array, preference: jax.Array, present: jax.Array) -> jax.Array:
        ahead = preference / length(preference)
        # The derivative is that of losses of any scale; of the largest, sums would not be finite.
        scale = jnp.where(jnp.max(jnp.abs(losses)) > _LARGE, 1 / _LARGE, 1.0).astype(losses.dtype)
        away = jnp.where(present, scale * losses - scale * ideal, 0.0)
        along = jnp.sum(ahead * away)
        return (along + theta * length(away - along * ahead)) / scale

    return from_scalarization(scalarize, num_tasks, chosen)
