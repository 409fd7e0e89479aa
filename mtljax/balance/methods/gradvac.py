"""Gradient vaccine: gradients brought to the angles they usually have."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mtljax.balance import arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.gramian import dot, root
from mtljax.balance.rule import Observation, from_rule


class GradVacState(NamedTuple):
    """State of `gradvac`.

    Attributes:
        key: of the random orders.
        targets: phi, (T, T) float32, the running cosines.
    """

    key: jax.Array
    targets: jax.Array


def gradvac(num_tasks: int, beta: float = 0.5, seed: int = 0) -> Balancer:
    """Raises the cosine between gradients to a running target, where it is below it; with targets of 0 it is `pcgrad`.

    For each i: `g <- g_i`; for `j != i` in a fresh random order, with `c = cos(g, g_j)`: where `c < phi_ij`,
    `g <- g + |g| (phi_ij sqrt(1 - c^2) - c sqrt(1 - phi_ij^2)) / (|g_j| sqrt(1 - phi_ij^2)) g_j`; then
    `phi_ij <- (1 - beta) phi_ij + beta c`. The direction is the sum of the results. The targets begin at 0. It is
    computed in coefficients on the Gramian; the targets are those of all shared parameters together.

    Args:
        num_tasks: T, the number of tasks.
        beta: rate of the running mean, in [0, 1].
        seed: of the random orders; the key is kept in the state.

    Returns:
        An optax `Aggregator`.

    Raises:
        ValueError: for `beta` outside [0, 1].

    References:
        Wang et al., Gradient Vaccine: Investigating and Improving Multi-task Optimization in Massively Multilingual
        Models, ICLR 2021, algorithm 1.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.gradvac(num_tasks=2)
        >>> direction, _ = balancer.update(jnp.array([[1.0, 0.0], [-1.0, 1.0]]), balancer.init(params), params)
        >>> [round(float(x), 3) for x in direction]  # as pcgrad, the first time
        [0.5, 1.5]
    """
    arguments.fraction("gradvac", beta=beta)

    def rule(seen: Observation, state: GradVacState) -> tuple[jax.Array, GradVacState]:
        key, now = jax.random.split(state.key)
        norms, cosines = seen.gramian
        usable = norms > 0
        orders = jax.vmap(lambda k: jax.random.permutation(k, num_tasks))(jax.random.split(now, num_tasks))
        nearly_one = 1 - jnp.finfo(cosines.dtype).eps

        def raise_cosines(i: jax.Array, order: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
            # Coefficients on the unit rows; all is homogeneous in g, which starts at length 1.
            def step(carry: tuple[jax.Array, jax.Array], j: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
                coefficients, target = carry
                along = dot(cosines, coefficients)
                size = root(dot(coefficients, along))
                cosine = jnp.where(size > 0, along[j] / jnp.where(size > 0, size, 1.0), 0.0)
                cosine = jnp.clip(cosine, -1.0, 1.0)
                phi = jnp.clip(target[j].astype(cosine.dtype), -nearly_one, nearly_one)
                lift = phi * root((1 - cosine**2) / (1 - phi**2)) - cosine
                counted = usable[j] & usable[i] & (i != j)
                coefficients = coefficients.at[j].add(jnp.where(counted & (cosine < phi), size * lift, 0.0))
                moved = (1 - beta) * target[j] + beta * cosine.astype(target.dtype)
                return (coefficients, target.at[j].set(jnp.where(counted, moved, target[j]))), None

            start = jnp.zeros(num_tasks, cosines.dtype).at[i].set(1.0)
            return jax.lax.scan(step, (start, targets), order)[0]

        coefficients, targets = jax.vmap(raise_cosines)(jnp.arange(num_tasks), orders, state.targets)
        ratio = norms[:, None] / jnp.where(usable, norms, 1.0)
        weights = jnp.sum(jnp.where(coefficients == 0, 0.0, coefficients * ratio), axis=0)
        return weights, GradVacState(key, targets)

    def init() -> GradVacState:
        return GradVacState(jax.random.key(seed), jnp.zeros((num_tasks, num_tasks), jnp.float32))

    return from_rule(rule, num_tasks, sees="gramian", init=init)
