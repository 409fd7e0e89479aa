"""CAGrad: the best worst improvement near the mean gradient."""

import jax
import jax.numpy as jnp

from mtljax.balance import among_present, arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.rule import Observation, from_rule
from mtljax.balance.solvers import max_min_in_ball


def cagrad(num_tasks: int, c: float = 0.4, rescale: bool = False) -> Balancer:
    """The direction of the best worst improvement, `max_d min_t g_t . d`, in a ball around the mean gradient `g_0`.

    The ball's radius is `c |g_0|`; so `d = g_0 + c |g_0| J^T w / |J^T w|` with w on the simplex minimising
    `w^T G 1 / T + c |g_0| sqrt(w^T G w)`. It is found in its other form: the nearest point to `g_0` with `J d >= t`,
    for the largest t that the ball allows. Where `J^T w = 0` is best (zero in the hull of the gradients, c >= 1), d is
    the projection of `g_0` onto the dual cone.

    Args:
        num_tasks: T, the number of tasks.
        c: radius, at least 0; 0 gives the mean.
        rescale: whether to divide d by `1 + c^2`.

    Returns:
        An optax `Aggregator`.

    Raises:
        ValueError: for `c < 0`.

    References:
        Liu et al., Conflict-Averse Gradient Descent for Multi-task Learning, NeurIPS 2021, equations 3 and 4.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.cagrad(num_tasks=2, c=0.5)
        >>> direction, _ = balancer.update(jnp.array([[1.0, 0.0], [0.0, 1.0]]), balancer.init(params), params)
        >>> [round(float(x), 3) for x in direction]
        [0.75, 0.75]
    """
    arguments.non_negative("cagrad", c=c)

    def rule(seen: Observation, state: tuple) -> tuple[jax.Array, tuple, jax.Array]:
        norms, cosines = seen.gramian
        mean = seen.present / among_present.count(seen.present).astype(norms.dtype)
        largest = jnp.max(norms)
        lengths = norms / jnp.where(largest > 0, largest, 1.0)
        pull, solved = max_min_in_ball.pull_to_worst(lengths, cosines, mean * lengths, seen.present, c)
        weights = mean + jnp.where(lengths > 0, pull / jnp.where(lengths > 0, lengths, 1.0), 0.0)
        return (weights / (1 + c**2) if rescale else weights), state, solved

    return from_rule(rule, num_tasks, sees="gramian")
