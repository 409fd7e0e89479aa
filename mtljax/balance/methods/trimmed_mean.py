"""The trimmed mean: the mean without the largest and the smallest."""

import functools

import jax
import jax.numpy as jnp

from mtljax.balance import among_present, arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.gramian import Rows
from mtljax.balance.rule import Observation, from_jacobian_rule
from mtljax.balance.solvers import sorting_network


def trimmed_mean(num_tasks: int, trim_number: int = 0) -> Balancer:
    """In each coordinate, the mean without the `trim_number` largest and smallest values.

    Tasks that are absent are left out; where too few are left to trim, the median pair of them is averaged.

    Args:
        num_tasks: T, the number of tasks.
        trim_number: how many are left out at either end, less than T / 2.

    Returns:
        An optax `Aggregator` that sees every element of the Jacobian.

    Raises:
        ValueError: for a `trim_number` out of range.

    References:
        Yin et al., Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates, ICML 2018, definition 2.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.trimmed_mean(num_tasks=3, trim_number=1)
        >>> jacobian = jnp.array([[1.0, 0.0], [2.0, -9.0], [30.0, 1.0]])
        >>> direction, _ = balancer.update(jacobian, balancer.init(params), params)
        >>> print(direction)
        [2. 0.]
    """
    arguments.check_num_tasks(num_tasks)
    arguments.whole("trimmed_mean", 0, trim_number=trim_number)
    if 2 * trim_number >= num_tasks:
        raise ValueError(
            f"trimmed_mean(trim_number={trim_number}): needs at least {2 * trim_number + 1} tasks, not {num_tasks}."
        )

    def rule(seen: Observation, state: tuple) -> tuple[Rows, jax.Array, tuple]:
        number = jnp.sum(seen.present)
        trim = jnp.maximum(jnp.minimum(trim_number, (number - 1) // 2), 0)
        ranks = jnp.arange(num_tasks)
        kept = (ranks >= trim) & (ranks < number - trim)
        share = jnp.where(kept, 1.0 / jnp.maximum(jnp.sum(kept), 1), 0.0)

        def trimmed(row: jax.Array) -> jax.Array:
            dtype = jnp.result_type(jnp.float32, row)
            there = seen.present.reshape(-1, *[1] * (row.ndim - 1))
            ordered = sorting_network.sorted_rows(jnp.where(there, row.astype(dtype), jnp.inf))
            # The last ones are the infinities of absent tasks, which have no share.
            terms = [jnp.where(share[i] > 0, ordered[i] * share[i], 0.0) for i in range(num_tasks)]
            return functools.reduce(jnp.add, terms).astype(dtype)

        direction = [None if row is None else trimmed(row) for row in seen.rows]
        return direction, jnp.full(num_tasks, 1 / among_present.count(seen.present)), state

    return from_jacobian_rule(rule, num_tasks, measures=("shared", "features"))
