"""What a balancer is: an optax `Aggregator` that says what it looks at, so that a training step pays for no more."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax.experimental import aggregating

from mtljax.balance import optax_wrappers, own_state
from mtljax.balance.arguments import check_num_tasks
from mtljax.balance.branches import branches_pay, surely_finite, unless
from mtljax.balance.gramian import Rows, combine, gramian, shared_rows
from mtljax.balance.linearized.owners import parts_of, scaled
from mtljax.balance.over_devices import refuse_explicit

Sees = Literal["losses", "gramian", "jacobian"]
MEASURES = ("shared", "last_layer", "features")

_NOTHING_SHARED = (
    "this balancer was given a gradient, not a Jacobian: num_tasks={num_tasks}, but no leaf is stacked over tasks (the "
    "first has shape {shape}, its parameter's); expected shared leaves of shape ({num_tasks}, *shape), as from "
    "mtl.value_and_jacobian(losses_fn)(params), and the balancer first in its chain. Where every parameter is one "
    "task's own there is nothing to balance; a loss weighting then takes owners=linearize_at(...).owners."
)


class BalanceState(NamedTuple):
    """The state of a balancer.

    Attributes:
        rule: the rule's own state.
        weights: (T,) float32, the weights that it gave last; of a method without weights, the share of each task's
            gradient that it kept.
        present: (T,) bool, the tasks that had a part in them: the flag of absent tasks, of non-finite gradients, and of
            losses at or below zero where positive ones are needed.
        solved: () bool, False where the method's small problem has no solution or none was found to the dtype's
            precision, and the weights are the nearest thing to one; True of methods that solve none.
    """

    rule: Any
    weights: jax.Array
    present: jax.Array
    solved: jax.Array = cast(jax.Array, np.True_)


class Weights(NamedTuple):
    """A weight a task.

    Attributes:
        shared: (T,), for the gradients of shared parameters.
        private: (T,), for those of a task's own parameters: the same under a loss weighting, 1 under a gradient method.
        validation: (T,), for the gradients of the validation losses, which are added; None for none.
    """

    shared: jax.Array
    private: jax.Array
    validation: jax.Array | None = None


Weigh = Callable[..., tuple[Weights, BalanceState]]
Direct = Callable[..., tuple[Any, BalanceState]]


class Balancer(aggregating.Aggregator):
    """An optax `Aggregator` over tasks.

    Use it as any optax transformation, first in a chain: `init(params)`, then
    `update(jacobian, state, params, *, losses=None, present=None, owners=None, samples=(), ahead=None) -> (gradient,
    state)`:

    - `losses`: (T,); `present`: (T,) bool, False for tasks to leave out.
    - `owners`: a tree as `params` of the tasks that own each leaf (`mtl.balance.linearize_at(...).owners`), with which
      a loss weighting scales private leaves too.
    - `samples`: Jacobians of independent parts of the batch, for methods whose `samples` is above 1; without them
      `jacobian` stands for each.
    - `ahead`: the losses of a training and a validation batch as functions, for methods that need one; see
      `mtl.balance.look_ahead`.

    A private leaf that is not finite: with `owners`, its task is not present in this step, and the leaf becomes zeros;
    without, it becomes zeros where the state tells of a task that is not present, and else stays as it is, for
    `optax.apply_if_finite` after the balancer to see. With T > 1, no stacked leaf and no `owners`, `update` refuses.

    `weigh` and `direct` are for training steps.

    Attributes:
        num_tasks: T, the number of tasks.
        sees: `losses`; `gramian`, for a rule that needs norms and angles of gradients; or `jacobian`, for one that
            needs every element.
        measures: what its gradients may be those of: any of `shared`, `last_layer`, `features`.
        samples: how many Jacobians of independent parts of the batch it looks at.
        needs_positive_losses: whether it takes logarithms or quotients of losses; a task whose loss is not above zero
            is then left out of the step and flagged in `BalanceState.present`.
        needs: what it is to be given beside losses and gradients: `validation batch`, of a method that learns on one
            (`update(..., ahead=)`); or nothing.
        groups: patterns of the parameters that it balances apart from each other, of `per_group`; else none.
        weigh: `(state, *, losses=None, gramian=None, present=None) -> (Weights, state)`; None where it sees the
            Jacobian. Such a balancer's `init` looks at no parameters.
        direct: as `update`, with `axis_name`, a mapped axis over which the rows are split, and `features`, whether
            `params` are features (B, ...) and the rows gradients at them; private leaves that are not finite stay so.
    """

    num_tasks: int
    sees: Sees
    measures: tuple[str, ...]
    samples: int
    needs_positive_losses: bool
    needs: str
    groups: tuple[str, ...]
    weigh: Weigh | None
    direct: Direct

    def __new__(
        cls,
        init: Callable[[Any], BalanceState],
        *,
        num_tasks: int,
        sees: Sees,
        weigh: Weigh | None = None,
        direct: Direct | None = None,
        measures: tuple[str, ...] = MEASURES,
        samples: int = 1,
        needs_positive_losses: bool = False,
        needs: str = "",
        groups: tuple[str, ...] = (),
    ) -> "Balancer":
        """Makes the (init, update) pair that optax sees."""
        check_num_tasks(num_tasks)
        weigh = None if weigh is None else own_state.checking_weigh(init, weigh)
        direct = (
            functools.partial(_direct_by_weights, cast(Weigh, weigh), sees, num_tasks)
            if direct is None
            else own_state.checking_direct(init, direct)
        )
        # Compiled once, so that a loop that calls `update` outside `jit` does not compile its branches at each call.
        compiled = functools.partial(_finite_direction, direct)
        compiled = compiled if needs else jax.jit(compiled, static_argnames="owners")  # which takes no functions
        update = functools.partial(_update, compiled, num_tasks)
        self = super().__new__(cls, functools.partial(_distinct, init), update)
        self.num_tasks, self.sees, self.measures, self.samples = num_tasks, sees, measures, samples
        self.weigh, self.direct, self.needs_positive_losses = weigh, direct, needs_positive_losses
        self.needs, self.groups = needs, groups
        return self


def _distinct(init: Callable[[Any], BalanceState], params: Any) -> BalanceState:
    """A first state in which no array stands twice: a step that gives up its old state may free each only once."""
    return jax.tree.map(jnp.copy, init(params))


def finite_rows(rows: Rows, num_tasks: int, axis_name: str | None = None) -> jax.Array:
    """(T,) bool: whether all elements of a task's gradient are finite."""
    finite = jnp.ones(num_tasks, bool)
    for row in rows:
        if row is not None:
            finite &= jnp.all(jnp.isfinite(row), axis=tuple(range(1, row.ndim)))
    return finite if axis_name is None else jax.lax.pmin(finite.astype(jnp.int8), axis_name) > 0


def scale_private(tree: Any, params: Any, owners: Any, weights: jax.Array) -> Any:
    """Multiplies the leaves, and slices of leaves, that one task owns by its weight.

    Args:
        tree: gradients, a tree as `params`.
        params: the parameters, or their shapes.
        owners: a tree as `params` of tuples of task indices, as `linearize_at` gives it.
        weights: (T,).

    Returns:
        The tree with those leaves scaled; the others as they are.
    """
    structure = jax.tree.structure(params)
    pairs = zip(structure.flatten_up_to(tree), structure.flatten_up_to(owners), strict=True)
    return structure.unflatten([scaled(leaf, owner, weights) for leaf, owner in pairs])


def _direct_by_weights(
    weigh: Weigh,
    sees: Sees,
    num_tasks: int,
    jacobian: Any,
    state: BalanceState,
    params: Any,
    *,
    losses: jax.Array | None = None,
    present: jax.Array | None = None,
    owners: Any = None,
    axis_name: str | None = None,
    ahead: Any = None,
    **_: Any,
) -> tuple[Any, BalanceState]:
    beside = {} if ahead is None else {"ahead": ahead}

    def combined(seen: Any, present: jax.Array | None) -> tuple[Any, BalanceState]:
        weights, after = weigh(state, losses=losses, gramian=seen, present=present, **beside)
        direction = combine(jacobian, weights.shared, params)
        if owners is not None:
            direction = scale_private(direction, params, owners, weights.private)
        if weights.validation is not None and ahead is not None:
            direction = jax.tree.map(jnp.add, direction, ahead.of_validation(weights.validation))
        return direction, after

    def of_finite_rows() -> tuple[Any, BalanceState]:
        finite = finite_rows(rows, num_tasks, axis_name)
        return combined(None, finite if present is None else finite & present)

    rows = shared_rows(jacobian, params, num_tasks)
    if sees == "gramian":
        return combined(gramian(jacobian, params, num_tasks, axis_name), present)
    if axis_name is not None or ahead is not None or not branches_pay():
        return of_finite_rows()
    # A row that is not finite shows in the sum, unless its weight is 0: mostly, a look at each of them is saved.
    direction, after = combined(None, present)
    fine = jnp.all(after.weights != 0)
    for leaf, row in zip(jax.tree.leaves(direction), rows, strict=True):
        fine &= jnp.array(True) if row is None else surely_finite(leaf)
    return unless(fine, (direction, after), of_finite_rows)


def _update(
    compiled: Direct,
    num_tasks: int,
    updates: Any,
    state: Any,
    params: optax.Params | None = None,
    **extra: Any,
) -> tuple[Any, BalanceState]:
    if params is None:
        raise ValueError(
            "a balancer tells shared from private parameters by their shapes: "
            "call update(jacobian, state, params, losses=losses)."
        )
    rows = shared_rows(updates, params, num_tasks)
    optax_wrappers.refuse()
    refuse_explicit(row for row in rows if row is not None)
    if num_tasks > 1 and extra.get("owners") is None and rows and all(row is None for row in rows):
        raise ValueError(_NOTHING_SHARED.format(num_tasks=num_tasks, shape=jnp.shape(jax.tree.leaves(updates)[0])))
    if not isinstance(state, BalanceState):
        raise ValueError(
            f"the state of a balancer is what its init(params) gives, not a {type(state).__name__}: that of a chain "
            "goes to the chain's update."
        )
    if isinstance(extra.get("losses"), Mapping):
        raise ValueError("losses must be an array (T,), as value_and_jacobian gives it, not a dict.")
    known = {k: extra[k] for k in ("losses", "present", "owners", "samples", "ahead") if extra.get(k) is not None}
    known |= {k: jnp.asarray(known[k]) for k in ("losses", "present") if k in known}
    if "owners" in known:
        known["owners"] = _owners_of(known["owners"], params)
    return compiled(updates, state, params, **known)


def _owners_of(owners: Any, params: Any) -> tuple[tuple[int, ...], ...]:
    """The owners of the leaves that `optax.masked` and `optax.partition` leave to be seen."""
    leaves, structure = jax.tree.flatten(params, is_leaf=lambda node: isinstance(node, optax.MaskedNode))
    pairs = zip(leaves, structure.flatten_up_to(owners), strict=True)
    return tuple(owner for leaf, owner in pairs if not isinstance(leaf, optax.MaskedNode))


def _finite_direction(
    direct: Direct, jacobian: Any, state: BalanceState, params: Any, owners: tuple | None = None, **known: Any
) -> tuple[Any, BalanceState]:
    if owners is not None:
        known["owners"] = jax.tree.structure(params).unflatten(owners)
        known["present"] = _with_finite_private(jacobian, state, params, **known)
    direction, state = direct(jacobian, state, params, **known)
    rows = shared_rows(jacobian, params, len(state.present))
    out = jnp.array(True) if "owners" in known else ~jnp.all(state.present)
    leaves = zip(jax.tree.leaves(direction), rows, strict=True)
    mended = [_zero_unless_finite(leaf, out if row is None else jnp.array(True)) for leaf, row in leaves]
    return jax.tree.structure(params).unflatten(mended), state


def _with_finite_private(
    jacobian: Any, state: BalanceState, params: Any, owners: Any, present: jax.Array | None = None, **_: Any
) -> jax.Array:
    """(T,) bool: the present tasks all of whose own gradients are finite."""
    present = jnp.ones_like(state.present) if present is None else present
    structure = jax.tree.structure(params)
    rows = shared_rows(jacobian, params, len(state.present))
    for leaf, owner, row in zip(jax.tree.leaves(jacobian), structure.flatten_up_to(owners), rows, strict=True):
        if row is None:
            for task, part in parts_of(leaf, owner):
                present = present.at[task].set(present[task] & jnp.all(jnp.isfinite(part)))
    return present


def _zero_unless_finite(leaf: jax.Array, told: jax.Array) -> jax.Array:
    """Zeros for a leaf that is not finite, where the state tells of it; else the leaf."""

    def looked_at() -> jax.Array:
        return jnp.where(jnp.all(jnp.isfinite(leaf)) | ~told, leaf, jnp.zeros_like(leaf))

    return unless(surely_finite(leaf), leaf, looked_at) if branches_pay() else looked_at()
