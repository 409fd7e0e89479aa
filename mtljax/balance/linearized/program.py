"""A program as operations that are run one by one, its inner programs written out."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from mtljax.balance.linearized.slices import CHECKPOINTS, INLINED, bind

_WRITTEN_OUT = INLINED | CHECKPOINTS | {"custom_jvp_call"}  # nothing is differentiated any more


class Name:
    """A variable.

    Attributes:
        size: bytes of what an operation gives; 0 for what is there from the beginning.
        value: None until it is there.
        fixed: whether it does not depend on what the program is given.
        source: what it is a copy of, where that is only read to make something again; else None.
        made_by: the operation that gives it, if any.
        depth: how long the longest chain of operations is that leads to it from what is given.
        uses: how many operations are still to read it.
    """

    made_by: "Operation | None" = None
    depth = 0
    uses = 0

    def __init__(self, size: int = 0, value: Any = None, fixed: bool = True, source: Any = None) -> None:
        self.size, self.value, self.fixed, self.source = size, value, fixed, source


class Operation:
    """An equation of a program."""

    def __init__(self, equation: Any, operands: list[Name]) -> None:
        self.equation, self.operands = equation, operands
        self.fixed = all(name.fixed for name in operands)
        depth = 0 if self.fixed else 1 + max(name.depth for name in operands)
        self.results = [Name(_bytes(var.aval), fixed=self.fixed) for var in equation.outvars]
        for name in self.results:
            name.made_by, name.depth = self, depth

    def run(self, values: Sequence[Any]) -> list[tuple[Name, Any]]:
        """Its results and their values, of those of its operands."""
        found = bind(self.equation, *values)
        return list(zip(self.results, found if self.equation.primitive.multiple_results else [found], strict=True))

    def change(self, left: dict[Name, int]) -> int:
        """Bytes that are held more after it, which takes one use of each operand that is not fixed."""
        made = sum(name.size for name in self.results if left[name])
        read = [name for name in self.operands if not name.fixed]
        for name in read:
            left[name] -= 1
        return made - sum(name.size for name in set(read) if not left[name])


def written_out(jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Name]) -> list[Name]:
    """What a program gives, its inner programs written out; those of `jax.checkpoint` read copies of what is there."""
    names: dict[Any, Name] = dict(zip(jaxpr.invars, inputs, strict=True))
    names |= {var: Name(value=value) for var, value in zip(jaxpr.constvars, consts, strict=True)}

    def named(var: Any) -> Name:
        return Name(value=var.val) if isinstance(var, core.Literal) else names[var]

    for equation in jaxpr.eqns:
        operands = [named(var) for var in equation.invars]
        kind = equation.primitive.name
        if kind in _WRITTEN_OUT:
            inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
            operands = [_copied(name) for name in operands] if kind in CHECKPOINTS else operands
            results = written_out(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), operands)
        else:
            results = Operation(equation, operands).results
        names.update(zip(equation.outvars, results, strict=True))
    return [named(var) for var in jaxpr.outvars]


def operations_for(name: Name, done: set[Operation]) -> Iterator[Operation]:
    """The operations that are still to be run for a value, each after those that it needs; then they are done.

    All of them are fixed, or none, as the value is.
    """
    seen: set[Operation] = set()
    left = [(name.made_by, False)]
    while left:
        operation, ready = left.pop()
        if operation is None or operation in done or (operation in seen and not ready):
            continue
        if operation.fixed != name.fixed:
            continue
        if ready:
            done.add(operation)
            yield operation
            continue
        seen.add(operation)
        left += [(operation, True), *((name.made_by, False) for name in operation.operands)]


def _copied(name: Name) -> Name:
    value = name.value
    if value is None or not jnp.ndim(value) or jnp.issubdtype(value.dtype, jax.dtypes.extended):
        return name
    return Name(value=value, source=value)


def _bytes(x: Any) -> int:
    return math.prod(x.shape) * x.dtype.itemsize
