"""PCGrad: project away conflicting gradients."""

import jax
import jax.numpy as jnp

from mtljax.balance.balancer import Balancer
from mtljax.balance.rule import Observation, from_rule


def pcgrad(num_tasks: int, seed: int = 0) -> Balancer:
    """Projects each task's gradient onto the normal plane of those it conflicts with, and adds them up.

    For each i: `g <- g_i`; for `j != i` in a fresh random order, where `g . g_j < 0`:
    `g <- g - (g . g_j / |g_j|^2) g_j`. The direction is the sum of the results. It is computed in coefficients on the
    Gramian, without vectors of the parameters' length.

    Args:
        num_tasks: T, the number of tasks.
        seed: of the random orders; the key is kept in the state.

    Returns:
        An optax `Aggregator`: a Jacobian with shared leaves `(T, *shape)` in, a gradient in the shapes of `params` out.
        Private leaves keep their own gradient.

    References:
        Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020, algorithm 1.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.pcgrad(num_tasks=2, seed=0)
        >>> direction, _ = balancer.update(jnp.array([[1.0, 0.0], [-1.0, 1.0]]), balancer.init(params), params)
        >>> [round(float(x), 3) for x in direction]
        [0.5, 1.5]
    """

    def rule(seen: Observation, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        key, now = jax.random.split(key)
        norms, cosines = seen.gramian
        # Row i of `orders` is a random order of all tasks; j = i is passed over.
        orders = jax.vmap(lambda k: jax.random.permutation(k, num_tasks))(jax.random.split(now, num_tasks))

        def project(i: jax.Array, order: jax.Array) -> jax.Array:
            # Coefficients on the unit rows; by homogeneity the projected gradient starts at length 1.
            def step(coefficients: jax.Array, j: jax.Array) -> tuple[jax.Array, None]:
                cosine = jnp.dot(coefficients, cosines[j], precision="highest")
                conflict = (cosine < 0) & (i != j)
                return coefficients.at[j].add(jnp.where(conflict, -cosine, 0.0)), None

            start = jnp.zeros(num_tasks, cosines.dtype).at[i].set(1.0)
            return jax.lax.scan(step, start, order)[0]

        coefficients = jax.vmap(project)(jnp.arange(num_tasks), orders)
        # The ratio first, so that equal norms give exact weights.
        ratio = norms[:, None] / jnp.where(norms > 0, norms, 1.0)
        return jnp.sum(jnp.where(coefficients == 0, 0.0, coefficients * ratio), axis=0), key

    return from_rule(rule, num_tasks, sees="gramian", init=lambda: jax.random.key(seed))
