"""Functions without calls of other functions, which converters of JAX read with fewer assumptions about JAX."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Literal

# of a call -> the parameter that holds what is called; their derivatives are of no use in a network that is exported
_CALLS = {
    "jit": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "checkpoint": "jaxpr",
}


def inlined(function: Callable[..., Sequence[jax.Array]], *args: jax.Array) -> list[jax.Array]:
    """What a function gives, computed without a call of another function: what is called stands in its place.

    Bodies of loops and branches stay as they are.

    Args:
        function: from arrays to several.
        *args: its arguments; a caller that traces them sees primitives only.

    Example:
        >>> import jax.numpy as jnp
        >>> text = str(jax.make_jaxpr(lambda x: inlined(lambda y: [jax.nn.relu(y)], x))(jnp.ones(3)))
        >>> "jit" in text, "max" in text
        (False, True)
    """
    closed = jax.make_jaxpr(function)(*args)
    return _evaluated(closed, args)


def _evaluated(closed: Any, args: Sequence[Any]) -> list[Any]:
    jaxpr = closed.jaxpr
    known = dict(zip(jaxpr.constvars, closed.consts, strict=True)) | dict(zip(jaxpr.invars, args, strict=True))

    def value(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else known[atom]

    for equation in jaxpr.eqns:
        values, primitive, parameters = [value(atom) for atom in equation.invars], equation.primitive, equation.params
        called = parameters.get(_CALLS.get(primitive.name, ""))
        if called is None:
            found = primitive.bind(*values, **parameters)
            found = found if primitive.multiple_results else [found]
        else:
            found = _evaluated(called, values) if hasattr(called, "consts") else _opened(called, values)
        known |= dict(zip(equation.outvars, found, strict=True))
    return [value(atom) for atom in jaxpr.outvars]


def _opened(jaxpr: Any, args: Sequence[Any]) -> list[Any]:
    """Of what is called without constants of its own, as `jax.checkpoint` calls it before JAX 0.12."""
    return _evaluated(ClosedJaxpr(jaxpr, ()), args)
