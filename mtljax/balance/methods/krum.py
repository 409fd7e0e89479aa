"""Robust means, as in federated learning: Krum and the trimmed mean."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.balance import among_present, arguments
from mtljax.balance.balancer import Balancer, check_num_tasks
from mtljax.balance.gramian import Rows, root
from mtljax.balance.rule import Observation, from_jacobian_rule, from_rule


def krum(num_tasks: int, n_byzantine: int = 0, n_selected: int = 1) -> Balancer:
    """The mean of the `n_selected` gradients that are nearest to their neighbours (multi-Krum).

    A gradient's score is the sum of its distances to its `T - n_byzantine - 2` nearest others, T the number of tasks
    present; the lowest scores are selected. Two tasks leave no neighbours: the scores are 0 and the first is taken.

    Args:
        num_tasks: T.
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
    check_num_tasks(num_tasks)
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


def trimmed_mean(num_tasks: int, trim_number: int = 0) -> Balancer:
    """In each coordinate, the mean without the `trim_number` largest and smallest values.

    Tasks that are absent are left out; where too few are left to trim, the median pair of them is averaged.

    Args:
        num_tasks: T.
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
    check_num_tasks(num_tasks)
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
            ordered = _sorted(jnp.where(there, row.astype(dtype), jnp.inf))
            # The last ones are the infinities of absent tasks, which have no share.
            terms = [jnp.where(share[i] > 0, ordered[i] * share[i], 0.0) for i in range(num_tasks)]
            return functools.reduce(jnp.add, terms).astype(dtype)

        direction = [None if row is None else trimmed(row) for row in seen.rows]
        return direction, jnp.full(num_tasks, 1 / among_present.count(seen.present)), state

    return from_jacobian_rule(rule, num_tasks, measures=("shared", "features"))


def _sorted(rows: jax.Array) -> jax.Array | list[jax.Array]:
    """Rows (T, ...), ascending in every place, by Batcher's odd-even merge sort.

    A sorting network is elementwise; XLA's own sort along the first axis took 20 times as long on a CPU. Up to 40 rows
    its comparisons are written out one by one, beyond that all of a round are made at once, which compiles in seconds.
    """
    number = len(rows)
    if number <= 40:
        parts = [rows[i] for i in range(number)]
        for pairs in _rounds(number):
            for i, j in pairs:
                low, high = parts[i], parts[j]
                parts[i], parts[j] = jnp.minimum(low, high), jnp.maximum(low, high)
        return parts
    for pairs in _rounds(number):
        partner, first = np.arange(number), np.zeros(number, bool)
        for i, j in pairs:
            partner[i], partner[j], first[i] = j, i, True
        other = rows[partner]
        first = first.reshape(-1, *[1] * (rows.ndim - 1))
        rows = jnp.where(first, jnp.minimum(rows, other), jnp.maximum(rows, other))
    return rows


def _rounds(number: int) -> list[list[tuple[int, int]]]:
    """The pairs (i, j), i < j, that each round of the network compares."""
    rounds, width = [], 1
    while width < number:
        distance = width
        while distance >= 1:
            starts = range(distance % width, number - distance, 2 * distance)
            firsts = [i for start in starts for i in range(start, min(start + distance, number - distance))]
            rounds.append([(i, i + distance) for i in firsts if i // (2 * width) == (i + distance) // (2 * width)])
            distance //= 2
        width *= 2
    return rounds
