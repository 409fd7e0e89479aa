"""Programs that are run in step: what all of them give in one place is used before any of them goes on.

A compiler orders operations as it likes: it may run the backward passes of many tasks to their ends, and hold all that
they give. Here what comes next in each of them depends on what has been made of the last that all of them gave.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from mtljax.balance.linearized.slices import bind

_INLINED = frozenset({"jit", "pjit", "closed_call", "core_call"})


def in_step(
    programs: Sequence[Callable[[], Any]], places: Sequence[int], use: Callable[[Any, list[jax.Array]], Any], state: Any
) -> Any:
    """Folds `state = use(state, what each program gives in a place)` over places, first those that are made first.

    Args:
        programs: without arguments, giving trees of one structure.
        places: indices of leaves.
        use: must give a state whose first leaf is finite.
        state: the first.
    """
    runs = [_Run(program, places) for program in programs]
    for place in sorted(places, key=lambda i: max(run.depth(i) for run in runs)):
        state = use(state, [run.given(place) for run in runs])
        there = jnp.all(jnp.isfinite(jax.tree.leaves(state)[0]))  # so it is, which no compiler knows
        for run in runs:
            run.wait(there)
    return state


class _Name:
    """A variable of a program whose inner programs are written out."""

    depth = 0
    uses = 0
    value: Any = None
    made_by: "_Operation | None" = None


class _Operation:
    def __init__(self, equation: Any, operands: list[_Name]) -> None:
        self.equation, self.operands, self.done = equation, operands, False
        self.results = [_Name() for _ in equation.outvars]
        depth = 1 + max((name.depth for name in operands), default=0)
        for name in self.results:
            name.made_by, name.depth = self, depth

    def run(self) -> None:
        found = bind(self.equation, *(name.value for name in self.operands))
        found = found if self.equation.primitive.multiple_results else [found]
        for name, value in zip(self.results, found, strict=True):
            name.value = value
        self.done = True
        for name in self.operands:
            name.uses -= 1


class _Run:
    """One program, run as far as it is asked for."""

    def __init__(self, program: Callable[[], Any], places: Sequence[int]) -> None:
        closed = jax.make_jaxpr(program)()
        self._given = _written_out(closed.jaxpr, closed.consts, [])
        self._waiting: dict[_Name, None] = {}
        for operation in _needed([self._given[i] for i in places]):
            for name in operation.operands:
                name.uses += 1

    def depth(self, place: int) -> int:
        """How long the longest chain of operations is that leads to a place."""
        return self._given[place].depth

    def given(self, place: int) -> jax.Array:
        """What the program gives in a place; only what leads there is run."""
        for operation in _needed([self._given[place]]):
            operation.run()
            self._waiting.update(dict.fromkeys(operation.results))
        return self._given[place].value

    def wait(self, there: jax.Array) -> None:
        """Makes all that is still to be used depend on a bool that is True."""
        self._waiting = {name: None for name in self._waiting if name.uses}
        for name in self._waiting:
            name.value = jnp.where(there, name.value, jnp.zeros_like(name.value))


def _written_out(jaxpr: Any, consts: Sequence[Any], inputs: Sequence[_Name]) -> list[_Name]:
    """What a program gives, its inner programs written out."""
    names: dict[Any, _Name] = dict(zip(jaxpr.invars, inputs, strict=True))
    names |= {var: _holding(value) for var, value in zip(jaxpr.constvars, consts, strict=True)}

    def named(var: Any) -> _Name:
        return _holding(var.val) if isinstance(var, core.Literal) else names[var]

    for equation in jaxpr.eqns:
        operands = [named(var) for var in equation.invars]
        if equation.primitive.name in _INLINED:
            inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
            results = _written_out(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), operands)
        else:
            results = _Operation(equation, operands).results
        names.update(zip(equation.outvars, results, strict=True))
    return [named(var) for var in jaxpr.outvars]


def _holding(value: Any) -> _Name:
    name = _Name()
    name.value = value
    return name


def _needed(names: list[_Name]) -> Iterator[_Operation]:
    """The operations that are still to be run for these, each after those that it needs."""
    seen: set[_Operation] = set()
    left = [(name.made_by, False) for name in names]
    while left:
        operation, ready = left.pop()
        if operation is None or operation.done or (operation in seen and not ready):
            continue
        if ready:
            yield operation
            continue
        seen.add(operation)
        left += [(operation, True), *((name.made_by, False) for name in operation.operands)]
