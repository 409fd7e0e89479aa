"""What stands still in a step: frozen parameters, and the statistics of modules none of whose parameters move."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.extend import core

_OF_ONE = frozenset({"broadcast_in_dim", "convert_element_type", "reshape", "copy", "neg"})


def frozen(optimizer: optax.GradientTransformation, state: Any, params: Any, **known: Any) -> list[bool]:
    """For each leaf of `params`, whether its update is 0 whatever its gradient is, as under `set_to_zero()`.

    It is read from the program of the update; a learning rate of 0 freezes nothing.

    Args:
        optimizer: over all parameters.
        state: of the optimiser.
        params: the parameters; only shapes are read, as of the state.
        known: what else `optimizer.update` is given.

    Example:
        >>> import jax.numpy as jnp
        >>> tx = optax.partition({"a": optax.set_to_zero(), "b": optax.adam(0.1)}, {"x": "a", "y": "b"})
        >>> params = {"x": jnp.ones(3), "y": jnp.ones(3)}
        >>> frozen(tx, tx.init(params), params)
        [True, False]
    """
    update = optax.with_extra_args_support(optimizer).update
    closed = jax.make_jaxpr(lambda gradient, state, params: update(gradient, state, params, **known)[0])(
        params, state, params
    )
    return _zeros(closed.jaxpr, [False] * len(closed.jaxpr.invars))


def _zeros(jaxpr: Any, given: Sequence[bool]) -> list[bool]:
    """Which outputs of a program are 0 whatever goes in, given the inputs that are."""
    zero = {var for var, flag in zip(jaxpr.invars, given, strict=True) if flag}

    def is_zero(var: Any) -> bool:
        return not np.any(var.val) if isinstance(var, core.Literal) else var in zero

    for equation in jaxpr.eqns:
        flags = [is_zero(var) for var in equation.invars]
        inner = getattr(equation.params.get("jaxpr"), "jaxpr", None)
        if equation.primitive.name in _OF_ONE:
            found = flags[:1]
        elif equation.primitive.name == "select_n":
            found = [all(flags[1:])]
        elif inner is not None and len(inner.invars) == len(flags):
            found = _zeros(inner, flags)
        else:
            continue
        zero.update(var for var, flag in zip(equation.outvars, found, strict=True) if flag)
    return [is_zero(var) for var in jaxpr.outvars]


def kept_statistics(new: Any, old: Any, params: Any, moves: Sequence[Any]) -> Any:
    """A model's new state, with what belongs to modules whose parameters all stand still as it was.

    A statistic belongs to its module's parameters: those beside it or in it or, where there are none, those of the
    nearest module around it.

    Args:
        new: collections, such as `batch_stats`, after a step.
        old: the same before it.
        params: the parameters.
        moves: for each leaf of `params`, a bool, whether it moves.
    """
    where = [_names(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]

    def of_one(path: Any, after: jax.Array, before: jax.Array) -> jax.Array:
        _, *inside = _names(path)  # without the collection's
        while True:
            inside.pop()
            belonging = [flag for names, flag in zip(where, moves, strict=True) if names[: len(inside)] == inside]
            if belonging or not inside:
                break
        return after if any(flag is True for flag in belonging) else jnp.where(_any(belonging), after, before)

    return jax.tree_util.tree_map_with_path(of_one, new, old)


def _any(flags: Sequence[Any]) -> jax.Array:
    return jnp.any(jnp.stack([jnp.asarray(flag) for flag in flags])) if flags else jnp.array(True)


def _names(path: Any) -> list[str]:
    return [jax.tree_util.keystr((key,), simple=True) for key in path]
