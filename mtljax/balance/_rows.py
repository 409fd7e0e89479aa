"""Takes a linear map onto T numbers apart into T linear maps, as far as its program keeps the numbers apart.

Differentiating `losses[t]` of a stacked array makes JAX walk back through every task, with zeros for the others;
and the program does not say which parameters a loss depends on. Both are mended by following element t of the output
back through the few operations that put arrays together from scalars (`stack`, `concatenate`, elementwise maths).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
from jax.extend import core

LinearMap = Callable[[Any], jax.Array]

_ELEMENTWISE = frozenset({"add_any", "add", "sub", "mul", "div", "neg", "select_n", "convert_element_type", "copy"})
_INLINED = frozenset({"jit", "pjit", "closed_call", "core_call"})


def split(linear: LinearMap, params: Any, num_rows: int) -> list[LinearMap]:
    """The maps `params -> linear(params)[t]`, t = 0 .. num_rows - 1, each without what only the others need."""
    closed = jax.make_jaxpr(linear)(params)

    def row(t: int) -> LinearMap:
        def apply(tangents: Any) -> jax.Array:
            values = _Values()
            values.run(closed.jaxpr, closed.consts, jax.tree.leaves(tangents))
            return values.element(closed.jaxpr.outvars[0], t)

        return apply

    return [row(t) for t in range(num_rows)]


def owners(rows: Sequence[LinearMap], params: Any) -> Any:
    """A tree as `params`: for each leaf, the indices of the rows that depend on it."""
    reached = [_reached(row, params) for row in rows]
    leaves, structure = jax.tree.flatten(params)
    return structure.unflatten([_Indices(t for t, used in enumerate(reached) if used[i]) for i in range(len(leaves))])


class _Indices(tuple):
    """A tuple of indices that is a leaf of a tree."""


class _Values:
    """The value of every variable of a program, and how one element of it can be had without the others."""

    def __init__(self) -> None:
        self._value: dict[Any, Any] = {}
        self._element: dict[Any, Callable[[int], jax.Array | None]] = {}

    def __getitem__(self, var: Any) -> Any:
        return var.val if isinstance(var, core.Literal) else self._value[var]

    def run(self, jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Any]) -> None:
        """Evaluates a program, nested jitted ones inlined."""
        self._value.update(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *inputs), strict=True))
        for equation in jaxpr.eqns:
            if equation.primitive.name in _INLINED:
                self._inline(equation, equation.params["jaxpr"])
                continue
            with equation.ctx.manager:
                params = equation.primitive.get_bind_params(equation.params)
                functions, params = params if isinstance(params, tuple) else ((), params)  # by JAX version
                outputs = equation.primitive.bind(*functions, *map(self.__getitem__, equation.invars), **params)
            outputs = outputs if equation.primitive.multiple_results else [outputs]
            self._value.update(zip(equation.outvars, outputs, strict=True))
            self._element.update((var, partial(self._made_by, equation)) for var in equation.outvars)

    def _inline(self, equation: Any, inner: Any) -> None:
        # A jitted program may be called twice with the same variables: each call has values of its own.
        values = _Values()
        values._element = {
            here: partial(self.element, there) for here, there in zip(inner.jaxpr.invars, equation.invars, strict=True)
        }
        values.run(inner.jaxpr, inner.consts, [self[var] for var in equation.invars])
        for var, result in zip(equation.outvars, inner.jaxpr.outvars, strict=True):
            self._value[var] = values[result]
            self._element[var] = partial(values.element, result)

    def element(self, var: Any, t: int) -> jax.Array:
        """Element t of a variable of shape (T,), from as little as the program allows."""
        found = None if isinstance(var, core.Literal) else self._element.get(var, lambda t: None)(t)
        return self[var][t] if found is None else found

    def _made_by(self, equation: Any, t: int) -> jax.Array | None:
        name, operands = equation.primitive.name, equation.invars
        if name == "stack" and not operands[0].aval.shape:
            return self[operands[t]]
        if name == "concatenate":
            for operand in operands:
                if t < operand.aval.shape[0]:
                    return self.element(operand, t)
                t -= operand.aval.shape[0]
        if name in ("broadcast_in_dim", "reshape") and operands[0].aval.shape == ():
            return self[operands[0]]
        shape = equation.outvars[0].aval.shape
        if name in _ELEMENTWISE and all(v.aval.shape in (shape, ()) for v in operands):
            elements = [self[v] if v.aval.shape == () else self.element(v, t) for v in operands]
            params = {k: None if k == "sharding" else v for k, v in equation.params.items()}
            return equation.primitive.bind(*elements, **params)
        return None


def _reached(row: LinearMap, params: Any) -> list[bool]:
    """For each leaf of `params`, whether the row depends on it."""
    jaxpr = jax.make_jaxpr(row)(params).jaxpr
    needed = {var for var in jaxpr.outvars if not isinstance(var, core.Literal)}
    for equation in reversed(jaxpr.eqns):
        if not needed.isdisjoint(equation.outvars):
            needed.update(var for var in equation.invars if not isinstance(var, core.Literal))
    return [var in needed for var in jaxpr.invars]
