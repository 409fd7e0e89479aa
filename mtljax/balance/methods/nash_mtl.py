"""Nash-MTL: the Nash bargaining solution of the gradients."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mtljax.balance import arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.gramian import dot, root
from mtljax.balance.rule import Observation, from_rule
from mtljax.balance.solvers import positive_equation


class NashState(NamedTuple):
    """State of `nash_mtl`.

    Attributes:
        step: int32, steps since the weights were solved for.
        weights: (T,) float32, the solution then.
        norms: (T,) float32, the gradients' lengths then; 0 of absent tasks.
        solved: () bool, whether it was one.
    """

    step: jax.Array
    weights: jax.Array
    norms: jax.Array
    solved: jax.Array


def nash_mtl(num_tasks: int, max_norm: float | None = None, update_every: int = 1) -> Balancer:
    """The Nash bargaining solution: `d = J^T w` with `G w = 1 / w`, `w > 0`.

    It does not feel the scale of a loss: each task's gain `g_t . d` is `1 / w_t`, and `|d| = sqrt(T)`.

    Args:
        num_tasks: T, the number of tasks.
        max_norm: the greatest length of d on shared parameters; None for no limit.
        update_every: steps between two solutions; w is kept between them, as long as the same tasks are present and no
            gradient is ten times as long, or a tenth, as at the last one.

    Returns:
        An optax `Aggregator`.

    Raises:
        ValueError: for `max_norm <= 0` or `update_every < 1`.

    References:
        Navon et al., Multi-Task Learning as a Bargaining Game, ICML 2022, equation 2. Solved by Newton's method, not by
        the authors' sequence of convex programs.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.nash_mtl(num_tasks=2)
        >>> direction, _ = balancer.update(jnp.array([[10.0, 0.0], [0.0, 0.1]]), balancer.init(params), params)
        >>> [round(float(x), 3) for x in direction]
        [1.0, 1.0]
    """
    if max_norm is not None:
        arguments.positive("nash_mtl", max_norm=max_norm)
    arguments.whole("nash_mtl", 1, update_every=update_every)

    def rule(seen: Observation, state: NashState) -> tuple[jax.Array, NashState, jax.Array]:
        norms = seen.gramian.norms
        weights, solved = positive_equation.solve(seen.gramian, alpha=1.0)
        fresh = NashState(jnp.int32(1), weights.astype(jnp.float32), norms.astype(jnp.float32), solved)
        kept = fresh._replace(step=fresh.step % update_every)
        if update_every > 1:
            due = (state.step == 0) | jnp.any((norms > 10 * state.norms) | (state.norms > 10 * norms))
            old = state._replace(step=(state.step + 1) % update_every)
            kept = jax.tree.map(lambda new, old: jnp.where(due, new, old), fresh, old)
            weights, solved = jnp.where(due, weights, state.weights.astype(weights.dtype)), kept.solved
        if max_norm is not None:
            lengths = weights * seen.gramian.norms
            size = root(dot(lengths, dot(seen.gramian.cosines, lengths)))
            weights = weights * jnp.minimum(1.0, max_norm / jnp.maximum(size, jnp.finfo(size.dtype).tiny))
        return weights, kept, solved

    def init() -> NashState:
        ones = jnp.ones(num_tasks, jnp.float32)
        return NashState(jnp.int32(0), ones, jnp.zeros(num_tasks, jnp.float32), jnp.array(True))

    return from_rule(rule, num_tasks, sees="gramian", init=init)
