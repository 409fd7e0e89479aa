"""Loss weights that are learned by descent: homoscedastic uncertainty and IMTL-L."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from mtljax.balance.balancer import Balancer
from mtljax.balance.memory import guarded_descent
from mtljax.balance.rule import Observation, from_rule

_LARGEST = 30.0


class LearnedState(NamedTuple):
    """State of `uncertainty` and `imtl_l`.

    Attributes:
        scales: s, (T,) float32.
        descent: the state of the optax transformation that moves s, of each task.
    """

    scales: jax.Array
    descent: guarded_descent.Descent


def uncertainty(num_tasks: int, optimizer: optax.GradientTransformation | None = None) -> Balancer:
    """Weighs losses by learned homoscedastic uncertainty: minimises `sum_t L_t exp(-s_t) / 2 + s_t / 2` over s too.

    So `w_t = exp(-s_t) / 2`, with `s_t = log sigma_t^2` from 0 on. The weights of a step are those from before s moves.
    A task that is absent keeps its s and its optimiser state. s stays within -30 and 30: where a loss is below zero,
    as likelihoods may be, nothing else would hold it.

    Args:
        num_tasks: T.
        optimizer: what moves s, each task's apart from the others'; `optax.adam(1e-3)` by default.

    Returns:
        An optax `Aggregator`; it sees the losses only, and its `update` needs `losses=`, shape (T,).

    References:
        Kendall, Gal and Cipolla, Multi-Task Learning Using Uncertainty to Weigh Losses, CVPR 2018, equation 7.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl, optax
        >>> params, jacobian = jnp.zeros(2), jnp.eye(2)
        >>> balancer = mtl.uncertainty(2, optimizer=optax.sgd(0.1))
        >>> state = balancer.init(params)
        >>> for _ in range(300):
        ...     direction, state = balancer.update(jacobian, state, params, losses=jnp.array([1.0, 4.0]))
        >>> [round(float(w), 2) for w in direction]  # 1 / (2 L)
        [0.5, 0.13]
    """

    def gradient(scales: jax.Array, losses: jax.Array) -> jax.Array:
        return 0.5 - 0.5 * jnp.exp(-scales) * losses

    return _learned(num_tasks, lambda scales: 0.5 * jnp.exp(-scales), gradient, optimizer)


def imtl_l(num_tasks: int, optimizer: optax.GradientTransformation | None = None) -> Balancer:
    """Brings all weighted losses to the same size: minimises `sum_t exp(s_t) L_t - s_t` over s too.

    So `w_t = exp(s_t)`, with s from 0 on. The weights of a step are those from before s moves. A task that is absent
    keeps its s and its optimiser state. s stays within -30 and 30: nothing else would hold it where a loss is at or
    below zero. Put `imtl_g` behind it for IMTL: `mtl.imtl`.

    Args:
        num_tasks: T.
        optimizer: what moves s, each task's apart from the others'; `optax.adam(1e-3)` by default.

    Returns:
        An optax `Aggregator`; it sees the losses only, and its `update` needs `losses=`, shape (T,).

    References:
        Liu et al., Towards Impartial Multi-task Learning, ICLR 2021, section 3.2.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl, optax
        >>> params, jacobian = jnp.zeros(2), jnp.eye(2)
        >>> balancer = mtl.imtl_l(2, optimizer=optax.sgd(0.1))
        >>> state = balancer.init(params)
        >>> for _ in range(300):
        ...     direction, state = balancer.update(jacobian, state, params, losses=jnp.array([1.0, 4.0]))
        >>> [round(float(w), 2) for w in direction]  # 1 / L
        [1.0, 0.25]
    """

    def gradient(scales: jax.Array, losses: jax.Array) -> jax.Array:
        return jnp.exp(scales) * losses - 1

    return _learned(num_tasks, jnp.exp, gradient, optimizer)


def _learned(
    num_tasks: int,
    weights_of: Callable[[jax.Array], jax.Array],
    gradient_of: Callable[[jax.Array, jax.Array], jax.Array],
    optimizer: optax.GradientTransformation | None,
) -> Balancer:
    optimizer = optax.adam(1e-3) if optimizer is None else optimizer
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise ValueError(f"optimizer must be an optax transformation, not {optimizer!r}.")

    def init() -> LearnedState:
        scales = jnp.zeros(num_tasks, jnp.float32)
        return LearnedState(scales, guarded_descent.start(optimizer, scales))

    def rule(seen: Observation, state: LearnedState) -> tuple[jax.Array, LearnedState]:
        losses = seen.losses.astype(jnp.float32)
        gradient = gradient_of(state.scales, losses)
        scales, descent = guarded_descent.step(
            optimizer, state.scales, gradient, state.descent, seen.present, least=1.0
        )
        return weights_of(state.scales), LearnedState(jnp.clip(scales, -_LARGEST, _LARGEST), descent)

    return from_rule(rule, num_tasks, sees="losses", init=init, needs_losses=True)
