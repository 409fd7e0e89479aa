"""Weights that depend on nothing: constants, schedules, random numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from mtljax.balance import among_present, arguments
from mtljax.balance.balancer import Balancer, check_num_tasks
from mtljax.balance.rule import Observation, from_rule


def equal(num_tasks: int) -> Balancer:
    """Weight 1 for every task: linear scalarisation, `d = sum_t g_t`.

    It sees the losses only, so a training step needs one backward pass.

    Args:
        num_tasks: T.

    Returns:
        An optax `Aggregator`: a Jacobian with shared leaves `(T, *shape)` in, a gradient in the shapes of `params` out.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.equal(num_tasks=2)
        >>> direction, _ = balancer.update(jnp.array([[1.0, 0.0], [-1.0, 1.0]]), balancer.init(params), params)
        >>> print(direction)
        [0. 1.]
    """

    def rule(seen: Observation, state: tuple) -> tuple[jax.Array, tuple]:
        return jnp.ones(num_tasks, jnp.float32), state

    return from_rule(rule, num_tasks, sees="losses")


def constant(
    num_tasks: int,
    weights: Sequence[float | optax.Schedule] | Mapping[str, float | optax.Schedule] = (),
    tasks: Sequence[str] | None = None,
) -> Balancer:
    """Given weights, or an optax schedule a task (a curriculum): `w_t = weights[t]` or `weights[t](step)`.

    Args:
        num_tasks: T.
        weights: T numbers of at least 0 or schedules; without any, all are 1.
        tasks: the tasks' names in the order of the losses, with which `weights` may be a dict by name.

    Returns:
        An optax `Aggregator`; it sees the losses only.

    Raises:
        ValueError: for another number of weights, or a negative one.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl, optax
        >>> params, jacobian = jnp.zeros(2), jnp.eye(2)
        >>> balancer = mtl.constant(2, weights=(2.0, optax.linear_schedule(0.0, 1.0, 2)))
        >>> state = balancer.init(params)
        >>> for _ in range(3):
        ...     direction, state = balancer.update(jacobian, state, params)
        ...     print(direction)
        [2. 0.]
        [2.  0.5]
        [2. 1.]
    """
    check_num_tasks(num_tasks)
    weights = arguments.in_order("constant", "weights", weights, tasks) if isinstance(weights, Mapping) else weights
    given = {f"weights[{t}]": w for t, w in enumerate(weights) if not callable(w)}
    if len(weights) not in (0, num_tasks):
        raise ValueError(f"constant(weights=...): expected {num_tasks} numbers or schedules, not {len(weights)}.")
    arguments.non_negative("constant", **given)

    def rule(seen: Observation, step: jax.Array) -> tuple[jax.Array, jax.Array]:
        now = [w(step) if callable(w) else w for w in (weights if len(weights) else (1.0,) * num_tasks)]
        return jnp.stack([jnp.asarray(w, jnp.float32) for w in now]), optax.safe_increment(step)

    return from_rule(rule, num_tasks, sees="losses", init=lambda: jnp.int32(0))


def random_weighting(num_tasks: int, seed: int = 0) -> Balancer:
    """Fresh random loss weights each step: `w = softmax(z)`, `z ~ N(0, I)`.

    Args:
        num_tasks: T.
        seed: of the weights; the key is kept in the state.

    Returns:
        An optax `Aggregator`; it sees the losses only.

    References:
        Lin et al., Reasonable Effectiveness of Random Weighting, TMLR 2022: RLW.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.random_weighting(num_tasks=2, seed=1)
        >>> direction, _ = balancer.update(jnp.eye(2), balancer.init(params), params)
        >>> round(float(direction.sum()), 3)
        1.0
    """
    return from_rule(_softmax_of_noise, num_tasks, sees="losses", init=lambda: jax.random.key(seed))


def random_direction(num_tasks: int, seed: int = 0) -> Balancer:
    """`random_weighting` of the gradients: private parameters get their own gradient, unscaled.

    Args:
        num_tasks: T.
        seed: of the weights; the key is kept in the state.

    Returns:
        An optax `Aggregator`.

    References:
        Lin et al., Reasonable Effectiveness of Random Weighting, TMLR 2022: RGW.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.random_direction(num_tasks=2, seed=1)
        >>> direction, _ = balancer.update(jnp.eye(2), balancer.init(params), params)
        >>> round(float(direction.sum()), 3)
        1.0
    """
    rule = _softmax_of_noise
    return from_rule(rule, num_tasks, sees="losses", init=lambda: jax.random.key(seed), scales_private=False)


def _softmax_of_noise(seen: Observation, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    key, now = jax.random.split(key)
    return among_present.softmax(jax.random.normal(now, seen.present.shape), seen.present), key


def mean(num_tasks: int) -> Balancer:
    """The mean of the gradients of the tasks that are present: `d = sum_t g_t / T`.

    Args:
        num_tasks: T.

    Returns:
        An optax `Aggregator`. Private parameters get their own task's gradient, unscaled.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.mean(num_tasks=2)
        >>> direction, _ = balancer.update(jnp.array([[1.0, 0.0], [-1.0, 1.0]]), balancer.init(params), params)
        >>> print(direction)
        [0.  0.5]
    """

    def rule(seen: Observation, state: tuple) -> tuple[jax.Array, tuple]:
        return jnp.ones(num_tasks, jnp.float32) / among_present.count(seen.present), state

    return from_rule(rule, num_tasks, sees="losses", scales_private=False)


def sum(num_tasks: int) -> Balancer:
    """The sum of the gradients, `d = sum_t g_t`: as `equal`, told as a gradient method.

    Args:
        num_tasks: T.

    Returns:
        An optax `Aggregator`.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.sum(num_tasks=2)
        >>> direction, _ = balancer.update(jnp.array([[1.0, 0.0], [-1.0, 1.0]]), balancer.init(params), params)
        >>> print(direction)
        [0. 1.]
    """

    def rule(seen: Observation, state: Any) -> tuple[jax.Array, Any]:
        return jnp.ones(num_tasks, jnp.float32), state

    return from_rule(rule, num_tasks, sees="losses", scales_private=False)
