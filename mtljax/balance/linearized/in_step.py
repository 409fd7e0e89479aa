"""Programs that are run in step: what all of them give in some places is used before any of them goes on.

A compiler orders operations as it likes: it may run the backward passes of many tasks to their ends, and hold all that
they give, or all of them side by side, and hold what is between the layers of each. Here what comes next depends on
what was made before, as no compiler knows: programs run one after the other as far as the next cut. Cuts lie where all
programs together hold least: what they give until there, and what they still need from before it.
"""

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from mtljax.balance.linearized.slices import bind

_INLINED = frozenset({"jit", "pjit", "closed_call", "core_call"})


def in_step(
    programs: Sequence[Callable[[jax.Array], Any]],
    given: jax.Array,
    places: Sequence[int],
    use: Callable[[Any, list[jax.Array]], Any],
    state: Any,
) -> Any:
    """Folds `state = use(state, what each program gives in a place)` over places, first those that are made first.

    Args:
        programs: giving trees of one structure.
        given: what each of them is given; all that is large in them should depend on it.
        places: indices of leaves.
        use: must give a state whose first leaf is finite.
        state: the first.
    """
    runs = [_Run(program, given) for program in programs]
    order = sorted(places, key=lambda i: max(run.depth(i) for run in runs))
    for run in runs:
        run.plan(order)
    rows_of = [sum(sizes) for sizes in zip(*(run.gives for run in runs), strict=True)]
    kept = [sum(sizes) for sizes in zip(*(run.kept for run in runs), strict=True)]
    there = None
    for part in cuts(rows_of, kept):
        rows = []
        for run in runs:
            run.wait(there)
            rows.append(run.until(part))
            there = _seen(rows[-1], there)
        for row in zip(*rows, strict=True):
            state = use(state, list(row))
        there = jnp.all(jnp.isfinite(jax.tree.leaves(state)[0]))  # so it is, which no compiler knows
    return state


def cuts(given: Sequence[int], kept: Sequence[int]) -> list[range]:
    """Cuts a sequence into parts, as few as there may be where the largest part holds as little as it may.

    Args:
        given: what is given in each place, and held to the end of its part.
        kept: what is held besides, if a part ends with this place.

    Example:
        >>> cuts(given=[3, 1, 4, 1], kept=[9, 2, 9, 0])
        [range(0, 2), range(2, 4)]
    """
    low, high = max(given, default=0), sum(given) + max(kept, default=0)
    while low < high:
        limit = (low + high) // 2
        low, high = (low, limit) if _parts(given, kept, limit) is not None else (limit + 1, high)
    return _parts(given, kept, low) or []


def _parts(given: Sequence[int], kept: Sequence[int], limit: int) -> list[range] | None:
    """Parts that hold no more than the limit, each as long as it may be, after which less is left; None for none."""
    parts, begin = [], 0
    while begin < len(given):
        end, held = begin, 0
        for i in range(begin, len(given)):
            held += given[i]
            if held > limit:
                break
            if held + kept[i] <= limit:
                end = i + 1
        if end == begin:
            return None
        parts.append(range(begin, end))
        begin = end
    return parts


class _Name:
    """A variable of a program whose inner programs are written out."""

    depth = 0
    uses = 0
    value: Any = None
    made_by: "_Operation | None" = None

    def __init__(self, size: int = 0) -> None:
        self.size = size


class _Operation:
    def __init__(self, equation: Any, operands: list[_Name]) -> None:
        self.equation, self.operands = equation, operands
        self.results = [_Name(_bytes(var.aval)) for var in equation.outvars]
        depth = 1 + max((name.depth for name in operands), default=0)
        for name in self.results:
            name.made_by, name.depth = self, depth

    def run(self) -> None:
        found = bind(self.equation, *(name.value for name in self.operands))
        found = found if self.equation.primitive.multiple_results else [found]
        for name, value in zip(self.results, found, strict=True):
            name.value = value
        for name in self.operands:
            name.uses -= 1


class _Run:
    """One program, run part by part.

    Attributes:
        gives: bytes of what it gives in each place of the order.
        kept: bytes of what it still needs after each.
    """

    def __init__(self, program: Callable[[jax.Array], Any], given: jax.Array) -> None:
        closed = jax.make_jaxpr(program)(given)
        first = _holding(given)
        self._results = _written_out(closed.jaxpr, closed.consts, [first])
        self._places: list[_Name] = []
        self._operations: list[list[_Operation]] = []  # that lead to each place from the one before
        self._ahead: list[int] = []  # how many of the next place's are run before a cut
        self._waiting: dict[_Name, None] = {first: None}
        self.gives: list[int] = []
        self.kept: list[int] = []

    def depth(self, place: int) -> int:
        """How long the longest chain of operations is that leads to a place."""
        return self._results[place].depth

    def plan(self, order: Sequence[int]) -> None:
        """Settles the order of the operations, and after which of them least is kept between two places."""
        self._places = [self._results[place] for place in order]
        self.gives = [name.size for name in self._places]
        done: set[_Operation] = set()
        self._operations = [list(_needed(name, done)) for name in self._places]
        for name in itertools.chain.from_iterable(one.operands for one in done):
            name.uses += 1
        left = {name: name.uses for one in done for name in (*one.operands, *one.results)}
        changes = [[_change(operation, left) for operation in operations] for operations in self._operations]
        held = 0
        for operations, after in itertools.pairwise([*changes, []]):
            held += sum(operations)
            sizes = list(itertools.accumulate(after[:-1], initial=held))
            self.kept.append(min(sizes))
            self._ahead.append(sizes.index(min(sizes)))

    def until(self, part: range) -> list[jax.Array]:
        """What the program gives in the places of a part; only what leads there is run, and what leaves less."""
        for i in part:
            self._run(self._operations[i])
        if part.stop < len(self._operations):
            ahead, after = self._ahead[part.stop - 1], self._operations[part.stop]
            self._run(after[:ahead])
            self._operations[part.stop] = after[ahead:]
        return [self._places[i].value for i in part]

    def _run(self, operations: Collection[_Operation]) -> None:
        for operation in operations:
            operation.run()
            self._waiting.update(dict.fromkeys(operation.results))

    def wait(self, there: jax.Array | None) -> None:
        """Makes all that is still to be used depend on a bool that is True."""
        self._waiting = {name: None for name in self._waiting if name.uses}
        if there is None:
            return
        for name in self._waiting:
            name.value = jnp.where(there, name.value, jnp.zeros_like(name.value))


def _seen(rows: Sequence[jax.Array], there: jax.Array | None) -> jax.Array | None:
    """A bool that is True, and depends on another and on rows alone: parts of a batch on devices stay apart."""
    for row in rows:
        if jnp.issubdtype(row.dtype, jnp.inexact) and row.size:
            one = jnp.real(row.reshape(-1)[0])
            true = (one > 0) | ~(one > 1)  # of NaN too, which no compiler knows
            there = true if there is None else there & true
    return there


def _change(operation: _Operation, left: dict[_Name, int]) -> int:
    """Bytes that are held more after an operation, which takes one use of each operand."""
    made = sum(name.size for name in operation.results if left[name])
    for name in operation.operands:
        left[name] -= 1
    return made - sum(name.size for name in set(operation.operands) if not left[name])


def _bytes(x: Any) -> int:
    return math.prod(x.shape) * x.dtype.itemsize


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


def _needed(name: _Name, done: set[_Operation]) -> Iterator[_Operation]:
    """The operations that are still to be run for a value, each after those that it needs; then they are done."""
    seen: set[_Operation] = set()
    left = [(name.made_by, False)]
    while left:
        operation, ready = left.pop()
        if operation is None or operation in done or (operation in seen and not ready):
            continue
        if ready:
            done.add(operation)
            yield operation
            continue
        seen.add(operation)
        left += [(operation, True), *((name.made_by, False) for name in operation.operands)]
