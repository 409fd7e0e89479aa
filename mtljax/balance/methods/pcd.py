"""Priority-constrained descent: a primary task, and a least progress for the others."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.balance import arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.gramian import Gramian, dot
from mtljax.balance.memory import typical_size
from mtljax.balance.rule import Observation, from_rule
from mtljax.balance.solvers import quadratic_program


class PCDState(NamedTuple):
    """State of `pcd`.

    Attributes:
        size: (T,) float32, the roots of the running means of squared norms, before correction for their start at 0.
        steps: (T,) int32, how many norms are in each.
    """

    size: jax.Array
    steps: jax.Array


def pcd(
    num_tasks: int,
    tau: float | Sequence[float] = 0.02,
    beta: float = 0.999,
    eps: float = 1e-8,
    primary: int | str = 0,
    tasks: Sequence[str] | None = None,
) -> Balancer:
    """Follows the primary task's gradient as nearly as the others' least progress allows.

    With `h_t = s_t g_t`, `s_t = 1 / sqrt(running mean of |g_t|^2 + eps)`: `d = argmin |d - h_primary|^2` subject to
    `h_t . d >= tau |h_t|^2` for the other tasks, at the length of the primary gradient. Where no direction serves them
    all, d is the primary gradient; where the primary gradient is zero or absent, d is zero. A norm of more than ten
    times the task's usual one counts as ten times that in the running mean.

    Args:
        num_tasks: T, the number of tasks.
        tau: in [0, 1], the share of the progress along its own gradient that each other task keeps; one number, or one
            for each of the T - 1 others.
        beta: decay of the running means, in [0, 1).
        eps: added to them, at least 0.
        primary: index of the primary task, in the order of the losses; or its name.
        tasks: the tasks' names in the order of the losses, with which `primary` may be one of them.

    Returns:
        An optax `Aggregator`. Reordering the tasks matters here.

    Raises:
        ValueError: for numbers out of range, or another number of tau.

    References:
        Not All Objectives Are Born Equal: Priority-Constrained Descent for Hierarchical Multi-Objective Optimization,
        TMLR 2026.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.pcd(num_tasks=2, tau=0.0)
        >>> direction, _ = balancer.update(jnp.array([[2.0, 2.0], [-1.0, 0.0]]), balancer.init(params), params)
        >>> [round(float(x), 3) for x in direction]
        [0.0, 2.828]
    """
    arguments.check_num_tasks(num_tasks)
    index: int = arguments.index("pcd", "primary", primary, tasks)
    arguments.whole("pcd", 0, primary=index)
    if index >= num_tasks:
        raise ValueError(f"pcd(primary={index}): there are {num_tasks} tasks, counted from 0.")
    arguments.non_negative("pcd", eps=eps)
    arguments.fraction("pcd", beta=beta)
    if arguments.known(beta) and beta == 1:
        raise ValueError("pcd(beta=1): beta must be below 1.")
    shares = _shares(num_tasks, tau, index)

    def rule(seen: Observation, state: PCDState) -> tuple[jax.Array, PCDState, jax.Array]:
        norms = seen.gramian.norms
        # Roots of means of squares, by hypot, which does not overflow.
        counted = seen.present & typical_size.in_range(norms)
        bounded = typical_size.limited(norms.astype(jnp.float32), _debiased(state.size, state.steps, beta), state.steps)
        moved = jnp.hypot(beta**0.5 * state.size, (1 - beta) ** 0.5 * bounded)
        size = jnp.where(counted, moved, state.size)
        steps = state.steps + counted
        debiased = jnp.where(steps > 0, _debiased(size, steps, beta), norms.astype(jnp.float32))
        usual = jnp.hypot(debiased, eps**0.5).astype(norms.dtype)
        lengths = jnp.where(norms > 0, norms / jnp.where(norms > 0, usual, 1.0), 0.0)
        weights, solved = _nearest(seen.gramian, lengths, jnp.asarray(shares, norms.dtype), index)
        return weights, PCDState(size, steps), solved

    def init() -> PCDState:
        return PCDState(jnp.zeros(num_tasks, jnp.float32), jnp.zeros(num_tasks, jnp.int32))

    return from_rule(rule, num_tasks, sees="gramian", init=init)


def _nearest(gramian: Gramian, lengths: jax.Array, shares: jax.Array, primary: int) -> tuple[jax.Array, jax.Array]:
    """The weights (T,) of the direction, from `|h_t|` and `tau_t`, (T,) each; and whether its problem was solved."""
    norms, cosines = gramian
    number, eps = len(norms), jnp.finfo(norms.dtype).eps
    others = (jnp.arange(number) != primary) & (norms > 0)
    # In coefficients y_t = mu_t |h_t| on the unit rows: C y >= tau |h| - C h_primary.
    wanted = shares * lengths - cosines[:, primary] * lengths[primary]
    part = jnp.where(others[:, None] & others, cosines, 0.0)
    found = quadratic_program.nonnegative_qp(part, jnp.where(others, wanted, 0.0))
    added = found.values
    tolerance = 1000 * number * eps * jnp.maximum(jnp.max(jnp.abs(wanted)), 1.0)
    met = jnp.all(jnp.where(others, dot(part, added) >= wanted - tolerance, True))
    along = jnp.where(met, added, 0.0).at[primary].add(lengths[primary])
    squared = dot(along, dot(cosines, along))
    noise = 10 * eps * jnp.sum(jnp.abs(along)) ** 2
    weights = along * jnp.where(norms > 0, norms[primary] / jnp.where(norms > 0, norms, 1.0), 0.0)
    length = jnp.sqrt(jnp.where(squared > noise, squared, 1.0))
    return jnp.where((squared > noise) & (lengths[primary] > 0), weights / length, 0.0), found.solved


def _debiased(size: jax.Array, steps: jax.Array, beta: float) -> jax.Array:
    """The roots of the running means, corrected for their start at 0; 0 before the first."""
    return size / jnp.sqrt(jnp.maximum(1 - jnp.power(beta, steps.astype(jnp.float32)), 1e-30))


def _shares(num_tasks: int, tau: float | Sequence[float], primary: int) -> np.ndarray | jax.Array:
    """tau, (T,), its place at the primary task 0."""
    given = np.asarray(tau, np.float64) if arguments.known(tau) else jnp.asarray(tau, jnp.float32)
    if given.shape not in ((), (num_tasks - 1,)):
        raise ValueError(f"pcd(tau=...): expected one number or {num_tasks - 1}, one for each task but the primary.")
    for value in given.ravel():
        arguments.fraction("pcd", tau=value)
    xp = np if isinstance(given, np.ndarray) else jnp
    others = xp.broadcast_to(xp.asarray(given, xp.float32), (num_tasks - 1,))
    return xp.insert(others, primary, 0.0)
