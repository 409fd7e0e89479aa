"""X-TC's coefficients: of a direct loss and perceptual ones, smaller for those of larger gradients."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from mtljax.balance import arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.gramian import Rows, combine_rows
from mtljax.balance.rule import Observation, from_jacobian_rule


def xtc(num_tasks: int, direct: int | str = 0, tasks: Sequence[str] | None = None) -> Balancer:
    """Cross-task consistency: one direct loss of a prediction beside perceptual losses of it.

    With `g_t` the mean over shared parameters of the absolute value of task t's gradient, and `G` the sum of those of
    the n tasks that are present: `c_t = (G - g_t) / ((n - 1) G)`, and (n - 1) times that for the direct loss. Where it
    is present alone its coefficient is 1; where all gradients are 0, so is the direction. `d = sum_t c_t g_t`.

    Private parameters get their own task's gradient, unscaled. Those of a prediction's own head are shared where
    other losses of the prediction move it, as they do here.

    Args:
        num_tasks: T.
        direct: the direct loss, by its index in the order of the losses, or by its name.
        tasks: the tasks' names in the order of the losses, with which `direct` may be one of them.

    Returns:
        An optax `Aggregator` that sees every element of the Jacobian.

    Raises:
        ValueError: for an index or a name that is not there.

    References:
        Zamir et al., Robust Learning Through Cross-Task Consistency, CVPR 2020, and the authors' code.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params, jacobian = jnp.zeros(2), jnp.array([[2.0, 0.0], [0.0, 4.0], [0.0, 2.0]])
        >>> balancer = mtl.xtc(num_tasks=3, direct="normals", tasks=("normals", "to_depth", "to_edges"))
        >>> direction, state = balancer.update(jacobian, balancer.init(params), params)
        >>> print(state.weights, direction)
        [0.75  0.25  0.375] [1.5  1.75]
    """
    arguments.check_num_tasks(num_tasks)
    index: int = arguments.index("xtc", "direct", direct, tasks)
    arguments.whole("xtc", 0, direct=index)
    if index >= num_tasks:
        raise ValueError(f"xtc(direct={index}): there are {num_tasks} tasks, counted from 0.")

    def rule(seen: Observation, state: tuple) -> tuple[Rows, jax.Array, tuple]:
        sizes = _sizes(seen.rows, num_tasks)
        total, number = jnp.sum(sizes), jnp.sum(seen.present)
        others = jnp.maximum(number - 1, 1)
        share = sizes / jnp.where(total > 0, total, 1.0)
        weights = (1 - share) / others * jnp.where(jnp.arange(num_tasks) == index, others, 1)
        weights = jnp.where(seen.present, jnp.where(number == 1, 1.0, weights), 0.0)
        return combine_rows(seen.rows, weights), weights, state

    return from_jacobian_rule(rule, num_tasks)


def _sizes(rows: Rows, num_tasks: int) -> jax.Array:
    """The mean absolute value of each task's gradient, (T,), at least float32."""
    leaves = [row.reshape(num_tasks, -1) for row in rows if row is not None]
    dtype = jnp.result_type(jnp.float32, *leaves)
    number = max(1, sum(leaf.shape[1] for leaf in leaves))
    # Divided first, so that no sum overflows.
    means = [jnp.sum(jnp.abs(leaf.astype(dtype)) / number, axis=1) for leaf in leaves]
    return sum(means, start=jnp.zeros(num_tasks, dtype))
