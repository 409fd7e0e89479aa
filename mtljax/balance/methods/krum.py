"""Krum: the gradients that are nearest to their neighbours."""

import jax
import jax.numpy as jnp

from mtljax.balance import arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.gramian import root
from mtljax.balance.rule import Observation, from_rule


def krum(num_tasks: int, n_byzantine: int = 0, n_selected: int = 1) -> Balancer:
    """The mean of the `n_selected` gradients that are nearest to their neighbours (multi-Krum).

    A gradient's score is the sum of its distances to its `T - n_byzantine - 2` nearest others, T the number of tasks
    present; the lowest scores are selected. Two tasks leave no neighbours: the scores are 0 and the first is taken.

    Args:
        num_tasks: T, the number of tasks.
        n_byzantine: how many gradients may be arbitrary, at most T - 3 (0 for fewer tasks).
        n_selected: how many are averaged, at most T.

    Returns:
        An optax `Aggregator`.

    Raises:
        ValueError: for numbers out of range.

    References:
        Blanchard et al., Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent, NeurIPS 2017. Scores
        are sums of distances, as in TorchJD; the paper's are of their squares.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.krum(num_tasks=4, n_byzantine=1, n_selected=2)
        >>> jacobian = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [90.0, 0.0]])
        >>> direction, _ = balancer.update(jacobian, balancer.init(params), params)
        >>> print(direction)
        [0.5 0.5]
    """
    arguments.check_num_tasks(num_tasks)
    arguments.whole("krum", 0, n_byzantine=n_byzantine)
    arguments.whole("krum", 1, n_selected=n_selected)
    if n_byzantine > max(num_tasks - 3, 0):
        raise ValueError(f"krum(n_byzantine={n_byzantine}): needs at least {n_byzantine + 3} tasks, not {num_tasks}.")
    if n_selected > num_tasks:
        raise ValueError(f"krum(n_selected={n_selected}): there are {num_tasks} tasks.")

    def rule(seen: Observation, state: tuple) -> tuple[jax.Array, tuple]:
        norms, cosines = seen.gramian
        relative = norms / jnp.maximum(jnp.max(norms), jnp.finfo(norms.dtype).tiny)
        # |a - b|^2 = (|a| - |b|)^2 + 2 |a| |b| (1 - cos), without the cancellation of |a|^2 + |b|^2 - 2 a . b.
        apart = (relative[:, None] - relative) ** 2 + 2 * relative[:, None] * relative * (1 - cosines)
        others = seen.present[:, None] & seen.present & ~jnp.eye(num_tasks, dtype=bool)
        distances = jnp.sort(jnp.where(others, root(apart), jnp.inf), axis=1)
        counted = jnp.arange(num_tasks) < jnp.sum(seen.present) - n_byzantine - 2
        scores = jnp.sum(jnp.where(counted & jnp.isfinite(distances), distances, 0.0), axis=1)
        order = jnp.argsort(jnp.where(seen.present, scores, jnp.inf))
        number = jnp.minimum(n_selected, jnp.sum(seen.present))
        ranks = jnp.zeros(num_tasks, order.dtype).at[order].set(jnp.arange(num_tasks, dtype=order.dtype))
        return jnp.where(ranks < number, 1.0 / jnp.maximum(number, 1), 0.0).astype(norms.dtype), state

    return from_rule(rule, num_tasks, sees="gramian")
