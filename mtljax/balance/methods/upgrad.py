"""UPGrad: the sum of each gradient's projection onto the directions that conflict with no task."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from mtljax.balance import arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.rule import Observation, from_rule
from mtljax.balance.solvers import quadratic_program


def upgrad(num_tasks: int, preference: arguments.Numbers | None = None, tasks: Sequence[str] | None = None) -> Balancer:
    """Projects each `u_t g_t` onto the dual cone `{x : J x >= 0}` and adds the projections up.

    No loss rises along d, and each projection is the nearest such direction to its own gradient.

    Args:
        num_tasks: T, the number of tasks.
        preference: u, T numbers of at least 0, not all 0; 1/T each by default, over the tasks that are present.
        tasks: the tasks' names in the order of the losses, with which `preference` may be a dict name -> number.

    Returns:
        An optax `Aggregator`.

    Raises:
        ValueError: for a preference of the wrong length or sign.

    References:
        Quinton and Rey, Jacobian Descent for Multi-Objective Optimization, 2024, equation 5. The projections are exact:
        no ridge that bends those of badly scaled gradients.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.upgrad(num_tasks=2)
        >>> direction, _ = balancer.update(jnp.array([[1.0, 0.0], [-1.0, 1.0]]), balancer.init(params), params)
        >>> [round(float(x), 3) for x in direction]
        [0.25, 0.75]
    """
    chosen = arguments.preferred("upgrad", num_tasks, preference, tasks)

    def rule(seen: Observation, state: tuple) -> tuple[jax.Array, tuple, jax.Array]:
        norms, cosines = seen.gramian
        units = jnp.eye(num_tasks, dtype=norms.dtype)
        # A projection is homogeneous: that of the unit row, then its length.
        projected, solved = jax.vmap(quadratic_program.onto_dual_cone, (None, 0))(cosines, units)
        amounts = chosen(seen.present).astype(norms.dtype)
        ratios = norms[:, None] / jnp.where(norms > 0, norms, 1.0)
        terms = jnp.where(projected == 0, 0.0, projected * ratios * amounts[:, None])
        weights = jnp.sum(jnp.where(norms > 0, terms, jnp.where(units > 0, amounts, 0.0)), axis=0)
        return weights, state, jnp.all(solved)

    return from_rule(rule, num_tasks, sees="gramian")
