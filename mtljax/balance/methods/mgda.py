"""MGDA: the shortest vector in the convex hull of the gradients."""

import jax

from mtljax.balance import normalise as divisors
from mtljax.balance.balancer import Balancer
from mtljax.balance.gramian import Gramian
from mtljax.balance.rule import Observation, from_rule
from mtljax.balance.solvers import quadratic_program


def mgda(num_tasks: int, normalise: divisors.Normalise = "none") -> Balancer:
    """The shortest vector in the convex hull of the gradients: `w = argmin w^T G w` over the simplex, `d = J^T w`.

    `d` is zero, or a direction along which no loss rises. With `measure="features"` this is MGDA-UB.

    Args:
        num_tasks: T, the number of tasks.
        normalise: what each gradient is divided by while w is sought: `none`; `l2`, its norm; `loss`, its loss;
            `loss+`, both.

    Returns:
        An optax `Aggregator`. Its `update` needs `losses=` for `loss` and `loss+`, positive: a task whose loss is not
        has no part in the step, and is flagged in the state's `present`. A loss below 1e-8 counts as 1e-8.

    Raises:
        ValueError: for an unknown `normalise`.

    References:
        Desideri, Multiple-gradient descent algorithm, Comptes Rendus Mathematique 350, 2012; Sener and Koltun,
        Multi-Task Learning as Multi-Objective Optimization, NeurIPS 2018.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.mgda(num_tasks=2)
        >>> direction, _ = balancer.update(jnp.array([[2.0, 0.0], [0.0, 1.0]]), balancer.init(params), params)
        >>> [round(float(x), 3) for x in direction]
        [0.4, 0.8]
    """
    divisors.check("mgda", normalise)

    def rule(seen: Observation, state: tuple) -> tuple[jax.Array, tuple, jax.Array]:
        norms = divisors.divided(seen.gramian.norms, seen.losses, normalise)
        weights, solved = quadratic_program.min_norm(Gramian(norms, seen.gramian.cosines), seen.present)
        return weights, state, solved

    by_loss = normalise.startswith("loss")
    return from_rule(rule, num_tasks, sees="gramian", needs_losses=by_loss, needs_positive_losses=by_loss)
