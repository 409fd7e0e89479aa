"""SDMGrad: MGDA near the mean gradient, from independent samples."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from mtljax.balance import among_present, arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.gramian import Rows, combine_rows, dot, root
from mtljax.balance.memory import tracking
from mtljax.balance.rule import Observation, from_jacobian_rule
from mtljax.balance.solvers import quadratic_program


def sdmgrad(
    num_tasks: int,
    lam: float = 0.3,
    lr: float = 10.0,
    momentum: float = 0.5,
    iterations: int = 20,
    preference: arguments.Numbers | None = None,
    tasks: Sequence[str] | None = None,
) -> Balancer:
    """Direction-oriented MGDA: near a weighted mean gradient, with weights from two independent samples.

    w on the simplex descends `w^T A w / 2 + lam w^T A u`, `A = J_1 J_2^T` over the squared mean of the roots of its
    diagonal, by `iterations` projected steps with momentum from the last step's w; then
    `d = (J_3^T w + lam J_3^T u) / (1 + lam)`.

    Args:
        num_tasks: T, the number of tasks.
        lam: pull towards the weighted mean gradient, at least 0.
        lr: of the inner steps, > 0.
        momentum: of the inner steps, in [0, 1].
        iterations: their number, at least 1.
        preference: u, T numbers of at least 0, not all 0, made to sum 1 over the tasks that are present; equal ones by
            default.
        tasks: the tasks' names in the order of the losses, with which `preference` may be a dict name -> number.

    Returns:
        An optax `Aggregator` with `samples = 3`, as `modo`.

    Raises:
        ValueError: for numbers out of range, a preference of the wrong length or sign, or another number of samples.

    References:
        Xiao, Ban and Ji, Direction-oriented Multi-objective Learning: Simple and Provable Stochastic Algorithms,
        NeurIPS 2023, algorithm 1; scaling and inner steps as in the authors' code.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.sdmgrad(num_tasks=2, lam=0.0)
        >>> direction, _ = balancer.update(jnp.array([[1.0, 0.0], [0.0, 1.0]]), balancer.init(params), params)
        >>> print(direction)
        [0.5 0.5]
    """
    arguments.non_negative("sdmgrad", lam=lam)
    arguments.positive("sdmgrad", lr=lr)
    arguments.fraction("sdmgrad", momentum=momentum)
    arguments.whole("sdmgrad", 1, iterations=iterations)
    chosen = arguments.per_task("sdmgrad", num_tasks, default=1.0, tasks=tasks, preference=preference)

    def rule(seen: Observation, weights: jax.Array) -> tuple[Rows, jax.Array, jax.Array]:
        one, two, three = seen.samples
        cross = tracking.cross_gramian(one, two, num_tasks)
        number = jnp.maximum(jnp.sum(seen.present), 1)
        size = jnp.sum(root(jnp.diagonal(cross))) / number
        relative = jnp.where(size > 0, cross / jnp.where(size > 0, size, 1.0) / jnp.where(size > 0, size, 1.0), 0.0)
        mean = among_present.normalised(jnp.asarray(chosen, cross.dtype), seen.present)

        def step(_: int, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            w, velocity = carry
            velocity = momentum * velocity + dot(relative, w + lam * mean)
            return quadratic_program.onto_simplex(w - lr * velocity, seen.present), velocity

        start = among_present.normalised(weights.astype(cross.dtype), seen.present)
        found, _ = jax.lax.fori_loop(0, iterations, step, (start, jnp.zeros_like(start)))
        whole = (found + lam * mean) / (1 + lam)
        return combine_rows(three, whole), whole, among_present.remembered(weights, found, seen.present)

    return from_jacobian_rule(rule, num_tasks, init=lambda leaves: among_present.uniform(num_tasks), samples=3)
