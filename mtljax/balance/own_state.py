"""A state of another balancer, told as that: from another method's checkpoint, or of another number of tasks."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def checking_weigh(init: Callable[[Any], Any], weigh: Callable[..., Any]) -> Callable[..., Any]:
    """A balancer's `weigh` that refuses a state of another one; its `init` looks at no parameters."""
    expected = functools.cache(lambda: jax.eval_shape(lambda: init(None)))

    @functools.wraps(weigh)
    def checked(state: Any, **known: Any) -> Any:
        check(state, expected())
        return weigh(state, **known)

    return checked


def checking_direct(init: Callable[[Any], Any], direct: Callable[..., Any]) -> Callable[..., Any]:
    """A balancer's `direct` that refuses a state of another one: under `jit` while it is traced, at no cost after."""

    @functools.wraps(direct)
    def checked(jacobian: Any, state: Any, params: Any, **known: Any) -> Any:
        check(state, jax.eval_shape(init, params))
        return direct(jacobian, state, params, **known)

    return checked


def check(state: Any, expected: Any) -> None:
    """Raises `ValueError` for a state that has not the structure of the one expected."""
    if jax.tree.structure(state) != jax.tree.structure(expected):
        raise ValueError(
            f"this state is of another balancer: it holds {_described(state)}, this one's holds "
            f"{_described(expected)}. A balancer goes on from what its own init(params) or update gave."
        )
    given, own = jnp.shape(state.weights), jnp.shape(expected.weights)
    if given != own:
        raise ValueError(f"this state has weights of shape {given}: it is of another number of tasks than {own[0]}.")


def _described(state: Any) -> str:
    """What a method remembers, by the name of its type."""
    if not hasattr(state, "rule"):
        return f"a {type(state).__name__}"
    rule = state.rule
    if type(rule) is tuple and rule and all(hasattr(one, "rule") for one in rule):
        return " and ".join(map(_described, rule))
    if jax.tree.structure(rule).num_leaves == 0:
        return "nothing"
    return "an array" if hasattr(rule, "dtype") else type(rule).__name__
