"""GradDrop: in each coordinate, one sign."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from mtljax.balance import arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.gramian import Rows
from mtljax.balance.rule import Observation, from_jacobian_rule


def graddrop(
    num_tasks: int, leak: arguments.Numbers = 0.0, seed: int = 0, tasks: Sequence[str] | None = None
) -> Balancer:
    """Keeps in each coordinate the gradients of one sign, drawn by how pure that sign is.

    `P = (1 + sum_t g_t / sum_t |g_t|) / 2` and `u ~ U(0, 1)` in each coordinate: the positive entries are kept where
    `P > u`, the negative ones where `P < u`. `d = sum_t (leak_t + (1 - leak_t) kept_t) g_t`.

    Args:
        num_tasks: T, the number of tasks.
        leak: in [0, 1], the share of every gradient that passes in any case; one number or one a task.
        seed: of u; the key is kept in the state.
        tasks: the tasks' names in the order of the losses, with which `leak` may be a dict name -> number.

    Returns:
        An optax `Aggregator` that sees every element of the Jacobian. The weights in its state are the mean shares of
        the tasks' entries that passed. With `measure="features"` it acts on the gradients at the features A, (B, ...),
        as the authors' layer does: P and the draws are of `sum over the batch of sign(A) g_t`, one for each feature,
        and a task whose sum is of the sign drawn passes for every example. The gradient is not brought back to its
        length before, which the authors' code does and their algorithm does not.

    Raises:
        ValueError: for a leak outside [0, 1], or another number of them.

    References:
        Chen et al., Just Pick a Sign: Optimizing Deep Multitask Models with Gradient Sign Dropout, NeurIPS 2020,
        algorithm 1.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(3)
        >>> balancer = mtl.graddrop(num_tasks=2, seed=0)
        >>> jacobian = jnp.array([[1.0, -2.0, 4.0], [3.0, -1.0, -4.0]])
        >>> direction, _ = balancer.update(jacobian, balancer.init(params), params)
        >>> [float(abs(x)) for x in direction]  # where signs agree, the sum; elsewhere one of the two
        [4.0, 3.0, 4.0]
    """
    arguments.check_num_tasks(num_tasks)
    leaks = jnp.asarray(arguments.in_order("graddrop", "leak", leak, tasks), jnp.float32)
    leaks = jnp.full(num_tasks, leaks) if leaks.ndim == 0 else leaks
    if leaks.shape != (num_tasks,):
        raise ValueError(f"graddrop(leak=...): expected one number or {num_tasks}, one a task.")
    for value in leaks.tolist() if arguments.known(leaks) else ():
        arguments.fraction("graddrop", leak=value)

    def rule(seen: Observation, key: jax.Array) -> tuple[Rows, jax.Array, jax.Array]:
        key, now = jax.random.split(key)
        direction, passed, size = [], jnp.zeros(num_tasks, jnp.float32), 0
        for i, row in enumerate(seen.rows):
            if row is None:
                direction.append(None)
                continue
            key_of_leaf = jax.random.fold_in(now, i)
            if seen.features:
                signal = _over_batch(row, seen.features[i], seen.axis_name)
                chosen, kept = _one_sign(row, signal, _uniform(key_of_leaf, signal, None), leaks)
            else:
                chosen, kept = _one_sign(row, row, _uniform(key_of_leaf, row, seen.axis_name), leaks)
            direction.append(chosen)
            passed += leaks * row[0].size + (1 - leaks) * kept
            size += row[0].size
        passed = passed if seen.axis_name is None else jax.lax.pmean(passed, seen.axis_name)
        return direction, passed / max(size, 1), key

    init = lambda leaves: jax.random.key(seed)  # noqa: E731
    return from_jacobian_rule(rule, num_tasks, init=init, measures=("shared", "features"))


def _over_batch(row: jax.Array, features: jax.Array, axis_name: str | None) -> jax.Array:
    """`sum over the batch of sign(A) g_t`, (T, 1, ...), of gradients (T, B, ...) at features A (B, ...)."""
    signed = jnp.sum(jnp.sign(features).astype(row.dtype) * row, axis=1, keepdims=True)
    return signed if axis_name is None else jax.lax.psum(signed, axis_name)


def _one_sign(row: jax.Array, signal: jax.Array, uniform: jax.Array, leaks: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The direction from (T, ...), and how many entries of each task passed, (T,).

    The sign is drawn by `uniform` (...) of the signal (T, ...), which is the row itself or broadcasts to it; what has
    no sign passes.
    """
    row, signal = row.astype(uniform.dtype), signal.astype(uniform.dtype)
    ahead, behind = _sum_of_tasks(jnp.maximum(signal, 0)), _sum_of_tasks(jnp.minimum(signal, 0))
    size = ahead - behind
    purity = jnp.where(size > 0, ahead / jnp.where(size > 0, size, 1.0), 0.5)
    passes = jnp.where(signal > 0, purity > uniform, (signal == 0) | (purity < uniform))
    counted = jnp.broadcast_to(passes, row.shape) & (row != 0)
    kept = jnp.sum(counted, axis=tuple(range(1, row.ndim)), dtype=leaks.dtype)
    leaks = leaks.reshape(-1, *[1] * (row.ndim - 1))
    return _sum_of_tasks((leaks + (1 - leaks) * passes) * row), kept


def _sum_of_tasks(rows: jax.Array) -> jax.Array:
    """The sum over the first axis."""
    if len(rows) > 40:
        return jnp.sum(rows, axis=0)
    # Written out: XLA's CPU backend takes ten times as long for sums over the first axis.
    return functools.reduce(jnp.add, [rows[t] for t in range(len(rows))])


def _uniform(key: jax.Array, row: jax.Array, axis_name: str | None) -> jax.Array:
    """U(0, 1) for each coordinate; for a part of an axis that is split over devices, that part of the whole draw."""
    shape, dtype = row.shape[1:], jnp.result_type(jnp.float32, row)
    if axis_name is None:
        return jax.random.uniform(key, shape, dtype)
    number = jax.lax.axis_size(axis_name)
    whole = jax.random.uniform(key, (shape[0] * number, *shape[1:]), dtype)
    return jax.lax.dynamic_slice_in_dim(whole, jax.lax.axis_index(axis_name) * shape[0], shape[0])
