"""Aligned-MTL: gradients made orthogonal and equally long."""

from collections.abc import Sequence
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from mtljax.balance import arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.gramian import Gramian, dot, root
from mtljax.balance.rule import Observation, from_rule
from mtljax.balance.solvers import linear_algebra

Scale = Literal["min", "median", "rmse"]


def aligned_mtl(
    num_tasks: int,
    scale: Scale = "min",
    preference: arguments.Numbers | None = None,
    tasks: Sequence[str] | None = None,
) -> Balancer:
    """Replaces J by the nearest matrix with orthogonal rows of equal length, and takes the weighted sum of its rows.

    With `G = V diag(l) V^T` of rank r: `w = sqrt(s) V l^(-1/2) V^T u`, where s is made of the r nonzero eigenvalues.
    `solved` is False where gradients are dependent, or so nearly that float32 does not tell: the rank is a guess then.

    Args:
        num_tasks: T, the number of tasks.
        scale: s: `min`, the smallest of them; `median`; or `rmse`, their mean (the mean of the squares of J's singular
            values).
        preference: u, T numbers of at least 0, not all 0; 1/T each by default, over the tasks that are present.
        tasks: the tasks' names in the order of the losses, with which `preference` may be a dict name -> number.

    Returns:
        An optax `Aggregator`. Weights may be negative.

    Raises:
        ValueError: for an unknown `scale`, or a preference of the wrong length or sign.

    References:
        Senushkin et al., Independent Component Alignment for Multi-Task Learning, CVPR 2023, algorithm 1.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.aligned_mtl(num_tasks=2)
        >>> direction, _ = balancer.update(jnp.array([[4.0, 0.0], [0.0, 1.0]]), balancer.init(params), params)
        >>> [round(float(x), 3) for x in direction]
        [0.5, 0.5]
    """
    if scale not in get_args(Scale):
        raise ValueError(f"aligned_mtl(scale={scale!r}): expected one of {', '.join(get_args(Scale))}.")

    chosen = arguments.preferred("aligned_mtl", num_tasks, preference, tasks)

    def rule(seen: Observation, state: tuple) -> tuple[jax.Array, tuple, jax.Array]:
        largest = jnp.maximum(jnp.max(seen.gramian.norms), jnp.finfo(seen.gramian.norms.dtype).tiny)
        relative = Gramian(seen.gramian.norms / largest, seen.gramian.cosines)
        vectors, sizes, solved = linear_algebra.singular_triplets(relative)
        inverse = jnp.where(sizes > 0, _chosen(sizes, scale) / jnp.where(sizes > 0, sizes, 1.0), 0.0)
        return dot(vectors, inverse * dot(vectors.T, chosen(seen.present).astype(sizes.dtype))), state, solved

    return from_rule(rule, num_tasks, sees="gramian")


def _chosen(sizes: jax.Array, scale: Scale) -> jax.Array:
    """The square root of s, from singular values in descending order, 0 beyond the rank."""
    rank = jnp.maximum(jnp.sum(sizes > 0), 1)
    if scale == "min":
        return sizes[rank - 1]
    if scale == "median":
        # As of an even number the lower of the two in the middle, as the authors' code takes it.
        return sizes[rank // 2]
    return root(jnp.sum(sizes**2) / rank)
