"""IMTL-G: equal projections on all gradients."""

import jax
import jax.numpy as jnp

from mtljax.balance import among_present
from mtljax.balance.balancer import Balancer
from mtljax.balance.gramian import Gramian, dot
from mtljax.balance.rule import Observation, from_rule
from mtljax.balance.solvers import linear_algebra, quadratic_program


def imtl_g(num_tasks: int) -> Balancer:
    """A direction with equal projections on all gradients: `w ~ pinv(G) sqrt(diag G)`, `sum w = 1`.

    Where that sum is 0 (zero in the affine hull of the gradients), d = 0. So it is where two gradients are opposite:
    only 0 has equal projections on both, `w ~ 1 / |g|` on the two. `solved` is False there, and where gradients are so
    nearly dependent that float32 does not tell the projections to 5 %.

    Args:
        num_tasks: T, the number of tasks.

    Returns:
        An optax `Aggregator`. Weights may be negative.

    References:
        Liu et al., Towards Impartial Multi-task Learning, ICLR 2021, section 3.1, in the closed form that allows for
        dependent gradients: Quinton and Rey, Jacobian Descent for Multi-Objective Optimization, 2024.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.imtl_g(num_tasks=2)
        >>> direction, _ = balancer.update(jnp.array([[4.0, 0.0], [0.0, 1.0]]), balancer.init(params), params)
        >>> [round(float(x), 3) for x in direction]
        [0.8, 0.8]
    """

    def rule(seen: Observation, state: tuple) -> tuple[jax.Array, tuple, jax.Array]:
        solution, independent = linear_algebra.pinv_times_norms(seen.gramian)
        total = jnp.sum(solution)
        size = jnp.sum(jnp.abs(solution))
        usable = jnp.abs(total) > 10 * num_tasks * jnp.finfo(total.dtype).eps * size
        # A lone task, or tasks whose gradients are all zero, weigh the same.
        alike = seen.present / among_present.count(seen.present).astype(solution.dtype)
        weights = jnp.where(usable, solution / jnp.where(usable, total, 1.0), 0.0)
        opposed = _opposed(seen.gramian)
        weights = jnp.where(jnp.any(opposed > 0), opposed, weights)
        solved = (size == 0) | independent & _equal(seen.gramian, weights)
        return jnp.where(size > 0, weights, alike), state, solved

    return from_rule(rule, num_tasks, sees="gramian")


def _equal(gramian: Gramian, weights: jax.Array) -> jax.Array:
    """Whether the projections of `J^T w` on all gradients are equal, and not 0; ()."""
    norms, cosines = gramian
    usable = norms > 0
    lengths = weights * norms
    wanted = jnp.where(usable, jnp.mean(dot(cosines, lengths), where=usable), 0.0)
    # Where the weights' sum was small beside them, what the sum is divided by is known less well than they are.
    return linear_algebra.holds(cosines, lengths, wanted, usable, times=jnp.sum(jnp.abs(weights)))


def _opposed(gramian: Gramian) -> jax.Array:
    """Weights (T,) of the gradients that have an opposite one, to rounding, in proportion to 1 / length; sum 1 or 0."""
    norms, cosines = gramian
    near = 40 * len(norms) * jnp.finfo(norms.dtype).eps
    pairs = jnp.sum(cosines < near - 1, axis=1)
    weights = pairs * quadratic_program.unit_ratio(norms, norms > 0)
    total = jnp.sum(weights)
    return weights / jnp.where(total > 0, total, 1.0)
