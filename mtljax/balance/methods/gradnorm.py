"""GradNorm: loss weights under which all tasks train at similar rates."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from mtljax.balance import arguments
from mtljax.balance.balancer import Balancer
from mtljax.balance.memory import guarded_descent, typical_size
from mtljax.balance.rule import Observation, from_rule


class GradNormState(NamedTuple):
    """State of `gradnorm`.

    Attributes:
        weights: (T,) float32, positive, their sum T.
        initial_losses: (T,) float32, the first finite positive loss of each task; 0 before there is one.
        descent: the state of Adam on the weights, of each task.
    """

    weights: jax.Array
    initial_losses: jax.Array
    descent: guarded_descent.Descent


def gradnorm(num_tasks: int, alpha: float = 1.5, lr: float = 0.025) -> Balancer:
    """Learns loss weights that bring every task's gradient norm to a common scale, more for slower tasks.

    With `n_t = w_t |g_t|` and the relative inverse training rate `r_t = (L_t / L_t(0)) / mean`, the weights follow Adam
    on `sum_t |n_t - stop_grad(mean(n) r_t^alpha)|`, whose gradient is `sign(n_t - target_t) |g_t|`; then
    `w <- T w / sum(w)`. The direction of a step uses the weights from before it, as in the paper's algorithm 1.

    Choose with `measure` what `g_t` is: the paper takes the last shared layer. A task that is absent, or
    whose loss is at or below zero and so has no rate, keeps its weight and Adam's state. A norm of more than ten times
    the task's usual one counts as ten times that, so that one bad gradient is not remembered.

    Private parameters get their own task's gradient, unscaled, as with every method here that reads gradients.

    Args:
        num_tasks: T, the number of tasks.
        alpha: strength of the restoring force, >= 0.
        lr: learning rate of the weights.

    Returns:
        An optax `Aggregator`; its `update` needs `losses=`, shape (T,).

    Raises:
        ValueError: for `alpha < 0` or `lr <= 0`.

    References:
        Chen et al., GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask Networks, ICML 2018,
        equations 1 and 2 and algorithm 1.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> params, jacobian = jnp.zeros(2), jnp.array([[8.0, 0.0], [0.0, 1.0]])
        >>> balancer = mtl.gradnorm(num_tasks=2, alpha=0.0)
        >>> state = balancer.init(params)
        >>> for _ in range(30):
        ...     direction, state = balancer.update(jacobian, state, params, losses=jnp.ones(2))
        >>> bool(state.weights[0] < 0.5 < 1.5 < state.weights[1])
        True
    """
    arguments.non_negative("gradnorm", alpha=alpha)
    arguments.positive("gradnorm", lr=lr)
    adam = optax.adam(lr)

    def init() -> GradNormState:
        weights = jnp.ones(num_tasks, jnp.float32)
        return GradNormState(weights, jnp.zeros(num_tasks, jnp.float32), guarded_descent.start(adam, weights))

    def rule(seen: Observation, state: GradNormState) -> tuple[jax.Array, GradNormState]:
        losses = seen.losses.astype(jnp.float32)
        norms = seen.gramian.norms.astype(jnp.float32)
        usable = seen.present & (losses > 0) & typical_size.in_range(losses)
        initial = jnp.where((state.initial_losses == 0) & usable, losses, state.initial_losses)
        counted = usable & (norms > 0) & typical_size.in_range(norms)
        norms = jnp.minimum(norms, typical_size.limit_of(state.descent.typical))
        target = _targets(state.weights * norms, losses, initial, counted, alpha)
        gradient = jnp.sign(state.weights * norms - target) * norms
        moved, descent = guarded_descent.step(adam, state.weights, gradient, state.descent, counted)
        moved = jnp.where(counted, jnp.maximum(moved, 1e-3), state.weights)
        held = jnp.sum(jnp.where(counted, 0.0, moved))
        total = jnp.maximum(jnp.sum(jnp.where(counted, moved, 0.0)), 1e-3)
        moved = jnp.where(counted, moved * (num_tasks - held) / total, moved)
        return state.weights, GradNormState(moved, initial, descent)

    return from_rule(rule, num_tasks, sees="gramian", init=init, needs_losses=True)


def _targets(
    weighted_norms: jax.Array, losses: jax.Array, initial: jax.Array, counted: jax.Array, alpha: float
) -> jax.Array:
    """The norms that the tasks should have, (T,): the mean norm times each relative inverse training rate^alpha."""
    tiny = jnp.finfo(jnp.float32).tiny
    number = jnp.maximum(jnp.sum(counted), 1)

    def mean(x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(counted, x / number, 0.0))

    ratios = jnp.where(counted, jnp.maximum(losses / jnp.where(initial > 0, initial, 1.0), tiny), 1.0)
    rates = jnp.maximum(ratios / jnp.maximum(mean(ratios), tiny), tiny)
    return mean(weighted_norms) * rates**alpha
