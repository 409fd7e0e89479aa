"""MoCo: MGDA on tracked gradients."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mtljax.balance import among_present, arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.gramian import Rows, combine_rows, dot
from mtljax.balance.memory import tracking, typical_size
from mtljax.balance.rule import Observation, from_jacobian_rule
from mtljax.balance.solvers import quadratic_program


class MoCoState(NamedTuple):
    """State of `moco`.

    Attributes:
        step: int32, steps taken.
        weights: lambda, (T,) float32, on the simplex.
        typical: of the lengths of the gradients.
        gradients: Y, for each leaf of the parameters `(T, *shape)`; zeros for private leaves.
    """

    step: jax.Array
    weights: jax.Array
    typical: typical_size.Typical
    gradients: list[jax.Array]


def moco(
    num_tasks: int,
    beta: float = 0.5,
    beta_sigma: float = 0.5,
    gamma: float = 0.1,
    gamma_sigma: float = 0.5,
    rho: float = 0.0,
) -> Balancer:
    """MGDA on tracked gradients, which takes the bias out of its noise.

    In step k = 1, 2, ...: `Y <- Y - beta_k (Y - J)`, `lambda <- P(lambda - gamma_k (Y Y^T + rho I) lambda)`, P the
    projection onto the simplex; `d = Y^T lambda`. `beta_k = beta k^-beta_sigma`, `gamma_k = gamma k^-gamma_sigma`.
    Y starts at 0 and lambda at 1/T. A task that is absent keeps its row of Y and its share, and k of `beta_k` counts
    its own steps. A gradient of more than ten times the task's usual length counts as ten times that.

    Args:
        num_tasks: T, the number of tasks.
        beta: rate of tracking, in [0, 1].
        beta_sigma: its decay, at least 0.
        gamma: rate of the weights, at least 0.
        gamma_sigma: its decay, at least 0.
        rho: regularisation of the weights, at least 0.

    Returns:
        An optax `Aggregator` that sees every element of the Jacobian and keeps T gradients of every leaf, float32.

    Raises:
        ValueError: for numbers out of range.

    References:
        Fernando et al., Mitigating Gradient Bias in Multi-objective Learning, ICLR 2023, equations 8 to 10; rates and
        the order of the three updates as in the authors' code.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.moco(num_tasks=2, beta=1.0, gamma=0.0)
        >>> direction, _ = balancer.update(jnp.array([[2.0, 0.0], [0.0, 4.0]]), balancer.init(params), params)
        >>> print(direction)
        [1. 2.]
    """
    arguments.fraction("moco", beta=beta)
    arguments.non_negative("moco", beta_sigma=beta_sigma, gamma=gamma, gamma_sigma=gamma_sigma, rho=rho)

    def rule(seen: Observation, state: MoCoState) -> tuple[Rows, jax.Array, MoCoState]:
        step = state.step + 1
        k = step.astype(jnp.float32)
        fresh, counted, typical = tracking.tempered(seen.rows, seen.present, state.typical)
        rate = beta * jnp.maximum(typical.number, 1.0) ** -beta_sigma

        def track(y: jax.Array, g: jax.Array) -> jax.Array:
            return y - rate.astype(y.dtype).reshape(-1, *[1] * (y.ndim - 1)) * (y - g)

        gradients = tracking.moved(state.gradients, fresh, counted, track)
        rows = tracking.shared(gradients, seen.rows)
        tracked = tracking.finite_gramian(rows, num_tasks)
        tracked = jnp.where(seen.present[:, None] & seen.present, tracked, 0.0)
        start = among_present.normalised(state.weights.astype(tracked.dtype), seen.present)
        slope = tracking.limited(dot(tracked, start)[None])[0] + rho * start
        weights = quadratic_program.onto_simplex(start - gamma * k**-gamma_sigma * slope, seen.present)
        kept = among_present.remembered(state.weights, weights, seen.present)
        return combine_rows(rows, weights), weights, MoCoState(step, kept, typical, gradients)

    def init(leaves: Sequence[jax.ShapeDtypeStruct]) -> MoCoState:
        uniform = among_present.uniform(num_tasks)
        return MoCoState(jnp.int32(0), uniform, typical_size.nothing(num_tasks), tracking.zeros(leaves, num_tasks))

    return from_jacobian_rule(rule, num_tasks, init=init)
