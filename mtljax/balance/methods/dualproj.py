"""DualProj: the projection of the mean gradient onto the directions that conflict with no task."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from mtljax.balance import arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.rule import Observation, from_rule
from mtljax.balance.solvers import quadratic_program


def dualproj(
    num_tasks: int, preference: arguments.Numbers | None = None, tasks: Sequence[str] | None = None
) -> Balancer:
    """Projects `J^T u` onto the dual cone `{x : J x >= 0}`: the nearest direction along which no loss rises.

    Args:
        num_tasks: T, the number of tasks.
        preference: u, T numbers of at least 0, not all 0; 1/T each by default, over the tasks that are present.
        tasks: the tasks' names in the order of the losses, with which `preference` may be a dict name -> number.

    Returns:
        An optax `Aggregator`.

    Raises:
        ValueError: for a preference of the wrong length or sign.

    References:
        Lopez-Paz and Ranzato, Gradient Episodic Memory for Continual Learning, NeurIPS 2017, equation 11.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.dualproj(num_tasks=2, preference=(1.0, 1.0))
        >>> direction, _ = balancer.update(jnp.array([[1.0, 0.0], [-3.0, 1.0]]), balancer.init(params), params)
        >>> [round(float(x), 3) for x in direction]
        [0.0, 1.0]
    """
    chosen = arguments.preferred("dualproj", num_tasks, preference, tasks)

    def rule(seen: Observation, state: tuple) -> tuple[jax.Array, tuple, jax.Array]:
        norms, cosines = seen.gramian
        amounts = chosen(seen.present).astype(norms.dtype)
        largest = jnp.max(norms)
        lengths = amounts * norms / jnp.where(largest > 0, largest, 1.0)
        projected, solved = quadratic_program.onto_dual_cone(cosines, lengths)
        added = projected - lengths
        weights = amounts + jnp.where(added == 0, 0.0, added * (largest / jnp.where(norms > 0, norms, 1.0)))
        return weights, state, solved

    return from_rule(rule, num_tasks, sees="gramian")
