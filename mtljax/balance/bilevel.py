"""Loss weights learned on a second batch: what such a balancer is given, and one made of two small functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mtljax.balance.arguments import check_num_tasks, checked_losses
from mtljax.balance.balancer import Balancer, BalanceState, Weights
from mtljax.balance.finite import all_finite
from mtljax.balance.linearized.losses import stacked

VALIDATION = "validation batch"  # what `Balancer.needs` says of them
_MISSING = (
    "this balancer learns its weights on a validation batch: call update(jacobian, state, params, losses=losses, "
    "ahead=mtl.balance.look_ahead(losses_fn, params, batch, validation_batch))."
)


def _as_it_is(tree: Any) -> Any:
    return tree


class Ahead(NamedTuple):
    """The losses of a training and of a validation batch as functions of the parameters, to be differentiated.

    Attributes:
        params: where training is now.
        training: params -> the losses of the training batch, (T,).
        validation: params -> those of the validation batch, (T,).
        total: adds up what each device has found, where the two functions give each device's part of the losses: the
            gradients of the losses, or what is linear in them. Nothing to add on one device.
    """

    params: Any
    training: Callable[[Any], jax.Array]
    validation: Callable[[Any], jax.Array]
    total: Callable[[Any], Any] = _as_it_is

    def stepped(self, weights: jax.Array, step_size: float, steps: int = 1) -> Any:
        """The parameters after plain gradient steps on the weighted training losses; differentiable in the weights."""
        params = self.params
        for _ in range(steps):
            gradient = self.total(jax.grad(lambda p: weighted_sum(weights, self.training(p)))(params))
            params = jax.tree.map(lambda p, g: (p - step_size * g).astype(p.dtype), params, gradient)
        return params

    def of_validation(self, weights: jax.Array) -> Any:
        """The gradient of the weighted validation losses at the parameters."""
        return self.total(jax.grad(lambda p: weighted_sum(weights, self.validation(p)))(self.params))


def look_ahead(losses_fn: Callable[..., Any], params: Any, batch: Any, validation_batch: Any, **kwargs: Any) -> Ahead:
    """What a balancer that learns on a validation batch is given, in one's own loop.

    Args:
        losses_fn: `(params, batch, **kwargs) -> losses`, T float scalars in a dict, a sequence or an array (T,).
        params: the parameters.
        batch: that is trained on.
        validation_batch: of examples that are not.
        **kwargs: of `losses_fn`.

    Returns:
        What `update(jacobian, state, params, losses=losses, ahead=...)` takes.

    Example:
        >>> import jax.numpy as jnp
        >>> ahead = look_ahead(lambda x, data: ((x - data) ** 2, (x + data) ** 2), jnp.float32(1), 2.0, 3.0)
        >>> print(ahead.training(ahead.params), ahead.validation(ahead.params))
        [1. 9.] [ 4. 16.]
    """

    def of(data: Any) -> Callable[[Any], jax.Array]:
        return lambda at: stacked(losses_fn(at, data, **kwargs))

    return Ahead(params, of(batch), of(validation_batch))


def weighted_sum(weights: jax.Array, losses: jax.Array) -> jax.Array:
    """The sum of weighted losses, without those of weight 0, whatever they are; differentiable in both.

    A weight that is 0 and varies has its loss as derivative, where that is finite.
    """
    there = jnp.isfinite(losses)
    return jnp.sum(jnp.where(there | (weights != 0), weights * jnp.where(there | (weights != 0), losses, 0.0), 0.0))


def from_bilevel(
    learn: Callable[[Ahead, jax.Array, Any], tuple[Any, Any]],
    weights_of: Callable[[Any, jax.Array], tuple[jax.Array, jax.Array | None]],
    num_tasks: int,
    *,
    init: Callable[[], Any],
) -> Balancer:
    """Makes a balancer that learns on a validation batch of two pure functions.

    Where what is learned of in a step is not finite, the state stays as it was, and `solved` is False.

    Args:
        learn: `(ahead, present (T,), state) ->` the next state, and what is to be finite for it to count, a tree.
        weights_of: `(state, present) ->` the weights (T,) of the training losses, and those of the validation losses
            whose gradient is added; None for none.
        num_tasks: T, the number of tasks.
        init: makes the first state.

    Returns:
        An optax `Aggregator` whose `update` needs `ahead=`; see `look_ahead`.
    """
    check_num_tasks(num_tasks)

    def init_fn(params: Any) -> BalanceState:
        del params
        return BalanceState(init(), jnp.ones(num_tasks, jnp.float32), jnp.ones(num_tasks, bool), jnp.array(True))

    def weigh(
        state: BalanceState,
        *,
        losses: jax.Array | None = None,
        gramian: Any = None,
        present: jax.Array | None = None,
        ahead: Ahead | None = None,
    ) -> tuple[Weights, BalanceState]:
        del gramian
        losses = checked_losses(losses, num_tasks, needed=False)
        if ahead is None:
            raise ValueError(_MISSING)
        present = jnp.ones(num_tasks, bool) if present is None else jnp.asarray(present, bool)
        present = present if losses is None else present & jnp.isfinite(losses)
        moved, judged = learn(ahead, present, state.rule)
        fine = all_finite((moved, judged))
        rule = jax.tree.map(lambda new, old: jnp.where(fine, new, old), moved, state.rule)
        training, validation = weights_of(rule, present)
        training = jnp.where(present, training, 0.0)
        told = training if validation is None else jnp.where(present, validation, 0.0)
        weights = Weights(training, training, None if validation is None else told)
        return weights, BalanceState(rule, told.astype(jnp.float32), present, fine)

    return Balancer(init_fn, num_tasks=num_tasks, sees="losses", weigh=weigh, needs=VALIDATION)


def rows_of(function: Callable[[Any], jax.Array], at: Any, num_tasks: int) -> tuple[jax.Array, list[Any]]:
    """T numbers at a point, (T,), and their gradients, one after the other: a list of trees."""
    values, pull = jax.vjp(function, at)
    eye = jnp.eye(num_tasks, dtype=jnp.float32)
    return values, [pull(row)[0] for row in eye]
