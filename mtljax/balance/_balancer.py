"""From a small rule, which looks at losses or a Gramian, to an optax `Aggregator`."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax.experimental import aggregating

from mtljax.balance._gramian import Gramian, combine, gramian, shared_leaves

Sees = Literal["losses", "gramian"]


class Observation(NamedTuple):
    """What a rule may look at.

    Attributes:
        losses: (T,) float32, 0 for a task that is not present; None where the caller gave none.
        present: (T,) bool; False for a task without a label in the batch, or whose loss or gradient is not finite.
        gramian: norms and cosines of the shared gradients, zero rows for tasks not present; None for a rule that
            sees losses only.
    """

    losses: jax.Array | None
    present: jax.Array
    gramian: Gramian | None


class BalanceState(NamedTuple):
    """The state of a balancer.

    Attributes:
        rule: the rule's own state.
        weights: (T,) the weights that it gave last.
        present: (T,) bool, the tasks that had a part in them: the flag of absent tasks and non-finite gradients.
    """

    rule: Any
    weights: jax.Array
    present: jax.Array


Rule = Callable[[Observation, Any], tuple[jax.Array, Any]]
Weigh = Callable[..., tuple[jax.Array, BalanceState]]


class Balancer(aggregating.Aggregator):
    """An optax `Aggregator` over tasks that says what it looks at, so that a training step pays for no more.

    Use it as any optax transformation, first in a chain. `weigh` is for training steps that do not build the whole
    Jacobian.

    Attributes:
        num_tasks: T.
        sees: `losses`, or `gramian` for a rule that needs gradients.
        weigh: `(state, *, losses=None, gramian=None, present=None) -> (weights (T,), state)`.
    """

    num_tasks: int
    sees: Sees
    weigh: Weigh

    def __new__(cls, init: Any, update: Any, *, num_tasks: int, sees: Sees, weigh: Weigh) -> "Balancer":
        """Makes the (init, update) pair that optax sees."""
        self = super().__new__(cls, init, update)
        self.num_tasks, self.sees, self.weigh = num_tasks, sees, weigh
        return self


def from_rule(
    rule: Rule,
    num_tasks: int,
    *,
    sees: Sees,
    init: Callable[[], Any] = tuple,
    needs_losses: bool = False,
) -> Balancer:
    """Makes a balancer of one pure function.

    Args:
        rule: `(observation, state) -> (weights (T,), state)`. Weights of tasks that are not present are made 0.
        num_tasks: T.
        sees: `losses`, or `gramian`: whether `observation.gramian` is filled in.
        init: makes the rule's first state.
        needs_losses: whether `update` must be given `losses=`.

    Returns:
        An optax `Aggregator`. Its `update(jacobian, state, params, *, losses=None, present=None)` gives the direction:
        `J^T w` for shared leaves, private ones unscaled, and zeros for a private leaf that is not finite.

    Raises:
        ValueError: where `num_tasks` is not a positive integer.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> def unit(seen, state):  # every task's gradient scaled to length 1
        ...     return 1 / jnp.maximum(seen.gramian.norms, 1e-20), state
        >>> balancer = mtl.balance.from_rule(unit, num_tasks=2, sees="gramian")
        >>> params = jnp.zeros(2)
        >>> direction, _ = balancer.update(jnp.array([[3.0, 0.0], [0.0, 5.0]]), balancer.init(params), params)
        >>> print(direction)
        [1. 1.]
    """
    if not isinstance(num_tasks, int) or isinstance(num_tasks, bool) or num_tasks < 1:
        raise ValueError(f"num_tasks must be a positive integer, not {num_tasks!r}.")

    def init_fn(params: optax.Params) -> BalanceState:
        del params  # A rule's state has the size of T, never of the parameters.
        return BalanceState(init(), jnp.ones(num_tasks), jnp.ones(num_tasks, bool))

    def weigh(
        state: BalanceState,
        *,
        losses: jax.Array | None = None,
        gramian: Gramian | None = None,
        present: jax.Array | None = None,
    ) -> tuple[jax.Array, BalanceState]:
        seen = _observe(num_tasks, _checked_losses(losses, num_tasks, needs_losses), gramian, present)
        weights, rule_state = rule(seen, state.rule)
        # A weight beyond the dtype's range (rows of norms 1e-20 and 1e20) stays finite.
        limit = jnp.finfo(weights.dtype).max
        weights = jnp.where(seen.present, jnp.clip(weights, -limit, limit), 0.0)
        return weights, BalanceState(rule_state, weights.astype(jnp.float32), seen.present)

    def update_fn(
        updates: Any,
        state: BalanceState,
        params: optax.Params | None = None,
        *,
        losses: jax.Array | None = None,
        present: jax.Array | None = None,
        **_: Any,
    ) -> tuple[Any, BalanceState]:
        if params is None:
            raise ValueError(
                "a balancer tells shared from private parameters by their shapes: "
                "call update(jacobian, state, params, losses=losses)."
            )
        if sees == "gramian":
            seen = gramian(updates, params, num_tasks)
        else:
            seen = None
            finite = jnp.array(True)
            for leaf in shared_leaves(updates, params, num_tasks):
                finite &= jnp.all(jnp.isfinite(leaf), axis=1)
            present = finite if present is None else finite & present
        weights, state = weigh(state, losses=losses, gramian=seen, present=present)
        return jax.tree.map(_finite, combine(updates, weights, params)), state

    return Balancer(init_fn, update_fn, num_tasks=num_tasks, sees=sees, weigh=weigh)


def _checked_losses(losses: Any, num_tasks: int, needed: bool) -> jax.Array | None:
    if losses is None:
        if needed:
            raise ValueError("this balancer needs the losses: call update(jacobian, state, params, losses=losses).")
        return None
    losses = jnp.asarray(losses)
    if losses.shape != (num_tasks,):
        raise ValueError(f"losses must have shape ({num_tasks},), one a task, not {losses.shape}.")
    return losses


def _observe(num_tasks: int, losses: jax.Array | None, seen: Gramian | None, present: jax.Array | None) -> Observation:
    present = jnp.ones(num_tasks, bool) if present is None else jnp.asarray(present, bool)
    if losses is not None:
        present = present & jnp.isfinite(losses)
        losses = jnp.where(present, losses, 0.0)
    if seen is not None:
        present = present & jnp.isfinite(seen.norms)
        both = present[:, None] & present
        seen = Gramian(jnp.where(present, seen.norms, 0.0), jnp.where(both, seen.cosines, 0.0))
    return Observation(losses, present, seen)


def _finite(leaf: jax.Array) -> jax.Array:
    return jnp.where(jnp.all(jnp.isfinite(leaf)), leaf, jnp.zeros_like(leaf))
