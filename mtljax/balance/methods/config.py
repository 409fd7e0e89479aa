"""ConFIG: conflict-free inverse gradients."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from mtljax.balance import arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.gramian import dot
from mtljax.balance.rule import Observation, from_rule
from mtljax.balance.solvers import linear_algebra


def config(num_tasks: int, preference: arguments.Numbers | None = None, tasks: Sequence[str] | None = None) -> Balancer:
    """A direction whose cosines to the gradients are as the preference, as long as the gradients agree with it.

    `x = pinv(U) u` with U the gradients at length 1, and `d = (sum_t g_t . x/|x|) x/|x|`. Where the gradients are
    dependent the cosines are in that proportion only as nearly as can be; `solved` tells whether they are to 5 %.

    Args:
        num_tasks: T, the number of tasks.
        preference: u, T numbers of at least 0, not all 0; all equal by default. Their size does not matter.
        tasks: the tasks' names in the order of the losses, with which `preference` may be a dict name -> number.

    Returns:
        An optax `Aggregator`. Weights may be negative.

    Raises:
        ValueError: for a preference of the wrong length or sign.

    References:
        Liu et al., ConFIG: Towards Conflict-free Training of Physics Informed Neural Networks, ICLR 2025, equation 2.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.config(num_tasks=2)
        >>> direction, _ = balancer.update(jnp.array([[3.0, 0.0], [0.0, 1.0]]), balancer.init(params), params)
        >>> [round(float(x), 3) for x in direction]
        [2.0, 2.0]
    """

    chosen = arguments.per_task("config", num_tasks, default=1.0, tasks=tasks, preference=preference)

    def rule(seen: Observation, state: tuple) -> tuple[jax.Array, tuple, jax.Array]:
        norms, cosines = seen.gramian
        wanted = jnp.where(norms > 0, jnp.asarray(chosen, norms.dtype), 0.0)
        units = linear_algebra.pinv_times(cosines, wanted)
        along = dot(cosines, units)
        squared = dot(units, along)
        largest = jnp.maximum(jnp.max(norms), jnp.finfo(norms.dtype).tiny)
        amount = jnp.sum(norms / largest * along) / jnp.where(squared > 0, squared, 1.0)
        ratio = jnp.where(norms > 0, largest / jnp.where(norms > 0, norms, 1.0), 0.0)
        solved = linear_algebra.holds(cosines, units, wanted, norms > 0)
        return jnp.where(squared > 0, amount * units * ratio, 0.0), state, solved

    return from_rule(rule, num_tasks, sees="gramian")
