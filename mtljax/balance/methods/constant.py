"""Given weights, or a schedule for each."""

from collections.abc import Mapping, Sequence
from typing import cast

import jax
import jax.numpy as jnp
import optax

from mtljax.balance import arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.rule import Observation, from_rule


def constant(
    num_tasks: int,
    weights: Sequence[float | optax.Schedule] | Mapping[str, float | optax.Schedule] = (),
    tasks: Sequence[str] | None = None,
) -> Balancer:
    """Given weights, or an optax schedule a task (a curriculum): `w_t = weights[t]` or `weights[t](step)`.

    Args:
        num_tasks: T, the number of tasks.
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
    arguments.check_num_tasks(num_tasks)
    values: Sequence[float | optax.Schedule] = arguments.in_order("constant", "weights", weights, tasks)
    given = {f"weights[{t}]": w for t, w in enumerate(values) if not callable(w)}
    if len(values) not in (0, num_tasks):
        raise ValueError(f"constant(weights=...): expected {num_tasks} numbers or schedules, not {len(values)}.")
    arguments.non_negative("constant", **given)

    def rule(seen: Observation, step: jax.Array) -> tuple[jax.Array, jax.Array]:
        now = [w(step) if callable(w) else w for w in (values if len(values) else (1.0,) * num_tasks)]
        return jnp.stack([jnp.asarray(w, jnp.float32) for w in now]), cast(jax.Array, optax.safe_increment(step))

    return from_rule(rule, num_tasks, sees="losses", init=lambda: jnp.int32(0))
