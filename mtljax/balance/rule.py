"""From one small pure function to a balancer."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.balance.arguments import check_num_tasks, checked_losses
from mtljax.balance.balancer import (
    Balancer,
    BalanceState,
    Sees,
    Weights,
    finite_rows,
)
from mtljax.balance.gramian import Gramian, Rows, shared_rows

_NOT_SEEN = cast(Gramian, None)


class Observation(NamedTuple):
    """What a rule may look at. The types are those of what it asks for; what it does not ask for may be None.

    Attributes:
        losses: (T,), 0 for a task that is not present; None where the caller gave none.
        present: (T,) bool; False for a task without a label in the batch, or whose loss or gradient is not finite.
        gramian: norms and cosines of the shared gradients, zero rows for tasks not present; None for a rule that does
            not see it.
        rows: for a rule that sees the Jacobian, its shared leaves `(T, *shape)`, zero for tasks not present, None in
            the places of private leaves.
        samples: for a rule that looks at several Jacobians, the rows of each.
        axis_name: a mapped axis over which the first axis of every parameter is split, or None.
        features: where the rows are gradients at features, those features, `(B, ...)` in the places of the rows.
    """

    losses: jax.Array
    present: jax.Array
    gramian: Gramian = _NOT_SEEN
    rows: Rows = ()
    samples: tuple[Rows, ...] = ()
    axis_name: str | None = None
    features: tuple[jax.Array, ...] = ()


Rule = Callable[[Observation, Any], tuple[jax.Array, Any] | tuple[jax.Array, Any, jax.Array]]
JacobianRule = Callable[[Observation, Any], tuple[Rows, jax.Array, Any]]
_SOLVED = np.True_


def from_rule(
    rule: Rule,
    num_tasks: int,
    *,
    sees: Sees,
    init: Callable[[], Any] = tuple,
    needs_losses: bool = False,
    scales_private: bool | None = None,
    needs_positive_losses: bool | jax.Array = False,
) -> Balancer:
    """Makes a balancer of one pure function.

    Args:
        rule: `(observation, state) -> (weights (T,), state)`, or with a third value, () bool, of a rule that solves a
            problem: whether the weights are its solution. Weights of tasks that are not present are made 0.
        num_tasks: T, the number of tasks.
        sees: `losses` or `gramian`: whether `observation.gramian` is filled in.
        init: makes the rule's first state.
        needs_losses: whether `update` must be given `losses=`.
        scales_private: whether a task's own parameters feel its weight too; by default for a rule that sees losses.
        needs_positive_losses: whether a task whose loss is not above 0 is left out, and flagged in `present`; or
            numbers (T,) that stand for 0.

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
    check_num_tasks(num_tasks)
    private_too = sees == "losses" if scales_private is None else scales_private

    def init_fn(params: Any) -> BalanceState:
        del params  # A rule's state has the size of T, never of the parameters.
        return _first(init(), num_tasks)

    def weigh(
        state: BalanceState,
        *,
        losses: jax.Array | None = None,
        gramian: Gramian | None = None,
        present: jax.Array | None = None,
    ) -> tuple[Weights, BalanceState]:
        losses = checked_losses(losses, num_tasks, needs_losses)
        if sees == "gramian" and gramian is None:
            raise ValueError("this balancer looks at norms and angles: call weigh(state, gramian=at.gramian(), ...).")
        seen = _observe(num_tasks, losses, gramian, present, needs_positive_losses)
        found = rule(seen, state.rule)
        weights, rule_state, solved = found if len(found) == 3 else (*found, _SOLVED)
        weights = _checked_weights(weights, num_tasks)
        # A weight beyond the dtype's range (rows of norms 1e-20 and 1e20) stays finite.
        limit = jnp.finfo(weights.dtype).max
        weights = jnp.where(seen.present, jnp.clip(weights, -limit, limit), 0.0)
        private = weights if private_too else jnp.ones_like(weights)
        after = BalanceState(rule_state, weights.astype(jnp.float32), seen.present, jnp.asarray(solved))
        return Weights(weights, private), after

    return Balancer(
        init_fn, num_tasks=num_tasks, sees=sees, weigh=weigh, needs_positive_losses=needs_positive_losses is True
    )


def _checked_weights(weights: Any, num_tasks: int) -> Any:
    """The weights; `ValueError` for another shape, which would be broadcast: one weight for all, or their sum."""
    shape = getattr(weights, "shape", None)
    if shape != (num_tasks,):
        found = f"type {type(weights).__name__}" if shape is None else f"shape {shape}"
        raise ValueError(f"the rule of a balancer gives weights of {found}; expected ({num_tasks},), one a task.")
    return weights


def from_scalarization(
    scalarize: Callable[[jax.Array, jax.Array, jax.Array], jax.Array], num_tasks: int, preference: Any
) -> Balancer:
    """Makes a loss weighting of one number made of all losses: each weight is its derivative.

    Args:
        scalarize: `(losses (T,), preference (T,), present (T,)) -> ()`; of absent tasks losses and preferences are 0.
        num_tasks: T, the number of tasks.
        preference: T numbers, or an array of them.
    """

    def rule(seen: Observation, state: tuple) -> tuple[jax.Array, tuple]:
        r = jnp.where(seen.present, jnp.asarray(preference, seen.losses.dtype), 0.0)
        return jax.grad(scalarize)(seen.losses, r, seen.present), state

    return from_rule(rule, num_tasks, sees="losses", needs_losses=True)


def from_jacobian_rule(
    rule: JacobianRule,
    num_tasks: int,
    *,
    init: Callable[[Sequence[jax.ShapeDtypeStruct]], Any] = lambda leaves: (),
    needs_losses: bool = False,
    measures: tuple[str, ...] = ("shared",),
    samples: int = 1,
    needs_positive_losses: bool = False,
) -> Balancer:
    """Makes a balancer of one pure function that sees every element of the shared gradients.

    Args:
        rule: `(observation, state) -> (direction, weights (T,), state)`, the direction a list as `observation.rows`
            without the leading axis.
        num_tasks: T, the number of tasks.
        init: makes the rule's first state from the shapes and dtypes of all leaves of `params`, in their order.
        needs_losses: whether `update` must be given `losses=`.
        measures: what its gradients may be those of.
        samples: how many Jacobians of independent parts of the batch it looks at.
        needs_positive_losses: as of `from_rule`.

    Returns:
        An optax `Aggregator`, as `from_rule` gives.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> def largest(seen, state):  # in every coordinate, the gradient that is largest
        ...     direction = jax.tree.map(lambda row: jnp.max(row, axis=0), seen.rows)
        ...     return direction, jnp.ones(2), state
        >>> balancer = mtl.balance.from_jacobian_rule(largest, num_tasks=2)
        >>> params = jnp.zeros(2)
        >>> direction, _ = balancer.update(jnp.array([[3.0, 0.0], [1.0, 5.0]]), balancer.init(params), params)
        >>> print(direction)
        [3. 5.]
    """
    check_num_tasks(num_tasks)
    number = samples

    def init_fn(params: Any) -> BalanceState:
        leaves = [jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in jax.tree.leaves(params)]
        return _first(init(leaves), num_tasks)

    def direct(
        jacobian: Any,
        state: BalanceState,
        params: Any,
        *,
        losses: jax.Array | None = None,
        present: jax.Array | None = None,
        owners: Any = None,  # Private leaves are never scaled here.
        samples: Sequence[Any] = (),
        axis_name: str | None = None,
        features: bool = False,
    ) -> tuple[Any, BalanceState]:
        rows = shared_rows(jacobian, params, num_tasks)
        parts = _parts([shared_rows(sample, params, num_tasks) for sample in samples] or [rows] * number, number)
        losses = checked_losses(losses, num_tasks, needs_losses)
        present = _finite([rows, *parts] if samples else [rows], num_tasks, axis_name, present)
        seen = _observe(num_tasks, losses, None, present, needs_positive_losses)
        rows, *parts = (_of_present(part, seen.present) for part in (rows, *parts))
        leaves = tuple(jax.tree.leaves(params)) if features else ()
        seen = seen._replace(rows=rows, samples=tuple(parts), axis_name=axis_name, features=leaves)
        found, weights, rule_state = rule(seen, state.rule)
        weights = jnp.where(seen.present, _checked_weights(weights, num_tasks), 0.0).astype(jnp.float32)
        return _merged(found, jacobian, params), BalanceState(rule_state, weights, seen.present, jnp.array(True))

    return Balancer(
        init_fn,
        num_tasks=num_tasks,
        sees="jacobian",
        direct=direct,
        measures=measures,
        samples=samples,
        needs_positive_losses=needs_positive_losses,
    )


def _parts(parts: list[Rows], number: int) -> list[Rows]:
    if len(parts) != number:
        raise ValueError(f"samples must be {number} Jacobians of independent parts of the batch, not {len(parts)}.")
    return parts


def _first(rule: Any, num_tasks: int) -> BalanceState:
    """The state before the first step."""
    return BalanceState(rule, jnp.ones(num_tasks, jnp.float32), jnp.ones(num_tasks, bool), jnp.array(True))


def _finite(parts: Sequence[Rows], num_tasks: int, axis_name: str | None, present: jax.Array | None) -> Any:
    """Which tasks are present and finite in each of the Jacobians, (T,)."""
    for part in parts:
        finite = finite_rows(part, num_tasks, axis_name)
        present = finite if present is None else finite & present
    return present


def _merged(found: Rows, jacobian: Any, params: Any) -> Any:
    """The direction: what was found for shared leaves, private ones as they are."""
    leaves = jax.tree.leaves(jacobian)
    merged = [leaf if part is None else part.astype(leaf.dtype) for part, leaf in zip(found, leaves, strict=True)]
    return jax.tree.structure(params).unflatten(merged)


def _of_present(rows: Rows, present: jax.Array) -> Rows:
    def masked(row: jax.Array) -> jax.Array:
        return jnp.where(present.reshape(-1, *[1] * (row.ndim - 1)), row, jnp.zeros((), row.dtype))

    return [None if row is None else masked(row) for row in rows]


def _observe(
    num_tasks: int,
    losses: jax.Array | None,
    seen: Gramian | None,
    present: jax.Array | None,
    positive: bool | jax.Array,
) -> Observation:
    present = jnp.ones(num_tasks, bool) if present is None else jnp.asarray(present, bool)
    if losses is not None:
        present = present & jnp.isfinite(losses)
        if positive is not False:
            present = present & (losses > (0 if positive is True else positive))
        losses = jnp.where(present, losses, 0.0)
    if seen is not None:
        present = present & jnp.isfinite(seen.norms)
        both = present[:, None] & present
        seen = Gramian(jnp.where(present, seen.norms, 0.0), jnp.where(both, seen.cosines, 0.0))
    return Observation(cast(jax.Array, losses), present, cast(Gramian, seen))
