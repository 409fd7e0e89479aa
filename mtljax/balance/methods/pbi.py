"""Scalarisations of the losses: each weight is the derivative of one number made of all losses."""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp

from mtljax.balance import among_present, arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.rule import Observation, from_rule


def geometric_mean(num_tasks: int) -> Balancer:
    """The gradient of the geometric mean `(prod_t L_t)^(1/T)`: `w_t = geometric mean / (T L_t)`.

    Args:
        num_tasks: T.

    Returns:
        An optax `Aggregator`; it sees the losses only, and its `update` needs `losses=`, shape (T,), positive: a task
        whose loss is not has no part in the step, and is flagged in the state's `present`. A loss below 1e-8 counts as
        1e-8.

    References:
        Chennupati et al., MultiNet++: Multi-Stream Feature Aggregation and Geometric Loss Strategy, CVPR workshops
        2019.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.geometric_mean(2)
        >>> state = balancer.init(params)
        >>> direction, _ = balancer.update(jnp.eye(2), state, params, losses=jnp.array([1.0, 4.0]))
        >>> [round(float(w), 3) for w in direction]  # 2 / (2 L)
        [1.0, 0.25]
    """

    def rule(seen: Observation, state: tuple) -> tuple[jax.Array, tuple]:
        losses = among_present.positive(seen.losses)
        middle = jnp.exp(among_present.mean(jnp.log(losses), seen.present))
        return middle / (among_present.count(seen.present) * losses), state

    return from_rule(rule, num_tasks, sees="losses", needs_losses=True, needs_positive_losses=True)


def cosmos(
    num_tasks: int,
    preference: arguments.Numbers | None = None,
    penalty: float = 1.0,
    tasks: Sequence[str] | None = None,
) -> Balancer:
    """The gradient of `sum_t r_t L_t - penalty cos(r, L)`, with a preference vector r.

    Args:
        num_tasks: T.
        preference: r, T numbers of at least 0, not all 0; 1/T each by default. Used as given, not normalised.
        penalty: lambda, at least 0; 0 leaves the weighted sum.
        tasks: the tasks' names in the order of the losses, with which `preference` may be a dict name -> number.

    Returns:
        An optax `Aggregator`; it sees the losses only, and its `update` needs `losses=`, shape (T,).

    Raises:
        ValueError: for a preference of the wrong length or sign, or `penalty < 0`.

    References:
        Ruchte and Grabocka, Scalable Pareto Front Approximation for Deep Multi-Objective Learning, ICDM 2021,
        equation 9, without the conditioning of the model on r.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.cosmos(2, preference=(0.5, 0.5), penalty=0.0)
        >>> direction, _ = balancer.update(jnp.eye(2), balancer.init(params), params, losses=jnp.array([1.0, 4.0]))
        >>> print(direction)
        [0.5 0.5]
    """
    chosen = arguments.per_task("cosmos", num_tasks, default=1.0, tasks=tasks, preference=preference)
    chosen = chosen / num_tasks if preference is None else chosen
    arguments.non_negative("cosmos", penalty=penalty)

    def scalarize(losses: jax.Array, preference: jax.Array, present: jax.Array) -> jax.Array:
        del present  # An absent task's loss and preference are 0.
        weighted = jnp.sum(preference * losses)
        return weighted - penalty * weighted / (_length(preference) * _length(losses))

    return _gradient_of(scalarize, num_tasks, chosen)


def pbi(
    num_tasks: int,
    preference: arguments.Numbers | None = None,
    theta: float = 5.0,
    reference: Sequence[float] | Mapping[str, float] | None = None,
    tasks: Sequence[str] | None = None,
) -> Balancer:
    """Penalty-based boundary intersection: the gradient of `d_1 + theta d_2`.

    `d_1` is the length of `L - z` along the preference vector, `d_2` its distance from it.

    Args:
        num_tasks: T.
        preference: T numbers of at least 0, not all 0; all equal by default.
        theta: weight of the distance, at least 0.
        reference: z, the ideal losses, T numbers; 0 by default.
        tasks: the tasks' names in the order of the losses, with which both may be a dict name -> number.

    Returns:
        An optax `Aggregator`; it sees the losses only, and its `update` needs `losses=`, shape (T,). A weight may be
        negative, where a loss is below its share.

    Raises:
        ValueError: for a preference of the wrong length or sign, a reference of the wrong length, or `theta < 0`.

    References:
        Zhang and Li, MOEA/D: A Multiobjective Evolutionary Algorithm Based on Decomposition, IEEE TEVC 2007, section
        III.C.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params = jnp.zeros(2)
        >>> balancer = mtl.pbi(2, preference=(1.0, 0.0), theta=2.0)
        >>> direction, _ = balancer.update(jnp.eye(2), balancer.init(params), params, losses=jnp.array([1.0, 4.0]))
        >>> print(direction)
        [1. 2.]
    """
    chosen = arguments.per_task("pbi", num_tasks, default=1.0, tasks=tasks, preference=preference)
    arguments.non_negative("pbi", theta=theta)
    reference = arguments.in_order("pbi", "reference", reference, tasks)
    ideal = jnp.zeros(num_tasks, jnp.float32) if reference is None else jnp.asarray(reference, jnp.float32)
    if ideal.shape != (num_tasks,):
        raise ValueError(f"pbi(reference=...): expected {num_tasks} numbers, one a task, not shape {ideal.shape}.")

    def scalarize(losses: jax.Array, preference: jax.Array, present: jax.Array) -> jax.Array:
        ahead = preference / _length(preference)
        away = jnp.where(present, losses - ideal, 0.0)
        along = jnp.sum(ahead * away)
        return along + theta * _length(away - along * ahead)

    return _gradient_of(scalarize, num_tasks, chosen)


def _length(vector: jax.Array) -> jax.Array:
    """The Euclidean norm, with a gradient of 0 at 0."""
    squared = jnp.sum(vector**2)
    tiny = jnp.finfo(vector.dtype).tiny
    return jnp.where(squared > tiny, jnp.sqrt(jnp.where(squared > tiny, squared, 1.0)), jnp.sqrt(tiny))


def _gradient_of(
    scalarize: Callable[[jax.Array, jax.Array, jax.Array], jax.Array], num_tasks: int, preference: Sequence[float]
) -> Balancer:
    def rule(seen: Observation, state: tuple) -> tuple[jax.Array, tuple]:
        r = jnp.where(seen.present, jnp.asarray(preference, seen.losses.dtype), 0.0)
        return jax.grad(scalarize)(seen.losses, r, seen.present), state

    return from_rule(rule, num_tasks, sees="losses", needs_losses=True)
