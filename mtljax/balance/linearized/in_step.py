"""Programs that are run in step: what all of them give in some places is used before any of them goes on.

A compiler orders operations as it likes: it may run the backward passes of many tasks to their ends, and hold all that
they give, or all of them side by side, and hold what is between the layers of each. Here what comes next depends on
what was made before, as no compiler knows: programs run one after the other as far as the next cut. Cuts lie where all
programs together hold least: what they give until there, and what they still need from before it. What is made again
from what `jax.checkpoint` kept is made no sooner than it is needed, and by each program for itself.
"""

import itertools
from collections.abc import Callable, Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from mtljax.balance.linearized.cuts import cuts
from mtljax.balance.linearized.program import Name, Operation, operations_for, written_out


def in_step(
    programs: Sequence[Callable[[jax.Array], Any]],
    given: jax.Array,
    places: Sequence[int],
    use: Callable[[Any, list[jax.Array]], Any],
    state: Any,
    after: Sequence[jax.Array] = (),
) -> Any:
    """Folds `state = use(state, what each program gives in a place)` over places, first those that are made first.

    Args:
        programs: giving trees of one structure.
        given: what each of them is given; all that is large in them should depend on it.
        places: indices of leaves.
        use: must give a state whose first leaf is finite.
        state: the first.
        after: what is made before anything is made again.
    """
    runs = [_Run(program, given) for program in programs]
    order = sorted(places, key=lambda i: max(run.depth(i) for run in runs))
    for run in runs:
        run.plan(order)
    given_there = [sum(sizes) for sizes in zip(*(run.gives for run in runs), strict=True)]
    kept = [sum(sizes) - max(sizes) for sizes in zip(*(run.kept for run in runs), strict=True)]  # by those that wait
    needed = [max(sizes) for sizes in zip(*(run.needs for run in runs), strict=True)]
    there = _seen(after, None)
    for part in cuts(given_there, kept, needed):
        rows = []
        for run in runs:
            run.wait(there)
            rows.append(run.until(part))
            there = _seen(rows[-1], there)
        for row in zip(*rows, strict=True):
            state = use(state, list(row))
        there = jnp.all(jnp.isfinite(jax.tree.leaves(state)[0]))  # so it is, which no compiler knows
    return state


def in_order(program: Callable[[jax.Array], Any], given: jax.Array) -> Any:
    """What a program gives, where what is made again is made no sooner than it is needed.

    Args:
        program: giving a tree of arrays.
        given: what it is given.

    Example:
        >>> in_order(lambda x: {"sum": x.sum(), "product": x.prod()}, jnp.array([2.0, 3.0]))["product"]
        Array(6., dtype=float32)
    """
    run = _Run(program, given)
    order = sorted(range(run.structure.num_leaves), key=run.depth)
    run.plan(order)
    run.wait(_seen([given], None))
    found = dict(zip(order, run.until(range(len(order))), strict=True))
    return jax.tree.unflatten(run.structure, [found[i] for i in range(len(order))])


class _Run:
    """One program, run part by part.

    Attributes:
        structure: of what it gives.
        gives: bytes of what it gives in each place of the order.
        kept: bytes of what it still needs after each.
        needs: bytes of the most that it holds besides on the way to each.
    """

    def __init__(self, program: Callable[[jax.Array], Any], given: jax.Array) -> None:
        closed, shapes = jax.make_jaxpr(program, return_shape=True)(given)
        first = Name(value=given, fixed=False)
        self.structure = jax.tree.structure(shapes)
        self._results = written_out(closed.jaxpr, closed.consts, [first])
        self._places: list[Name] = []
        self._operations: list[list[Operation]] = []  # that lead to each place from the one before
        self._ahead: list[int] = []  # how many of the next place's are run before a cut
        self._waiting: dict[Name, None] = {first: None}
        self._again: dict[Name, Any] = {}  # values that are fixed, made since the last cut
        self._done: set[Operation] = set()  # that made them
        self._before: Name | None = None  # the place that comes before what is made again
        self._there: jax.Array | None = None  # True after what is before the last cut
        self._now: jax.Array | None = None  # True after what is before this place, too
        self.gives: list[int] = []
        self.kept: list[int] = []
        self.needs: list[int] = []

    def depth(self, place: int) -> int:
        """How long the longest chain of operations is that leads to a place."""
        return self._results[place].depth

    def plan(self, order: Sequence[int]) -> None:
        """Settles the order of the operations, and after which of them least is kept between two places."""
        self._places = [self._results[place] for place in order]
        self.gives = [name.size for name in self._places]
        done: set[Operation] = set()
        self._operations = [list(operations_for(name, done)) for name in self._places]
        for name in itertools.chain.from_iterable(one.operands for one in done):
            name.uses += not name.fixed
        left = {name: name.uses for one in done for name in (*one.operands, *one.results)}
        changes = [[operation.change(left) for operation in operations] for operations in self._operations]
        held = 0
        for place, (operations, after) in enumerate(itertools.pairwise([*changes, []])):
            again = {name for one in self._operations[place] for name in one.operands if name.fixed}
            most = max(itertools.accumulate(operations, initial=held))
            self.needs.append(most + sum(name.size for name in again))
            held += sum(operations)
            sizes = list(itertools.accumulate(after[:-1], initial=held))
            self.kept.append(min(sizes))
            self._ahead.append(sizes.index(min(sizes)))

    def until(self, part: range) -> list[jax.Array]:
        """What the program gives in the places of a part; only what leads there is run, and what leaves less."""
        for i in part:
            before = self._places[i - 1] if i > part.start else None
            self._run(self._operations[i], before)
        if part.stop < len(self._operations):
            ahead, after = self._ahead[part.stop - 1], self._operations[part.stop]
            self._run(after[:ahead], self._places[part.stop - 1])
            self._operations[part.stop] = after[ahead:]
        return [self._value(self._places[i]) for i in part]

    def _run(self, operations: Collection[Operation], before: Name | None) -> None:
        self._before, self._now = before, self._there
        for operation in operations:
            found = operation.run([self._value(name) for name in operation.operands])
            for name, value in found:
                name.value = value
            for name in operation.operands:
                name.uses -= not name.fixed
            self._waiting.update(dict.fromkeys(name for name, _ in found))

    def _value(self, name: Name) -> Any:
        """Of a name; what is fixed is made where it has not been made since the last cut."""
        for operation in operations_for(name, self._done) if name.fixed else ():
            self._again.update(operation.run([self._read(one) for one in operation.operands]))
        return self._read(name)

    def _read(self, name: Name) -> Any:
        if name.source is not None and name not in self._again:
            self._again[name] = self._copied(name.source)
        return self._again.get(name, name.value)

    def _copied(self, source: jax.Array) -> jax.Array:
        if self._before is not None and self._there is not None:
            self._now, self._before = _seen([self._value(self._before)], self._there), None
        return source if self._now is None else _if(self._now, source)

    def wait(self, there: jax.Array | None) -> None:
        """Makes all that is still to be used depend on a bool that is True."""
        self._there = there
        self._waiting = {name: None for name in self._waiting if name.uses}
        if there is None:
            return
        self._again.clear()
        self._done.clear()
        for name in self._waiting:
            name.value = _if(there, name.value)


def _if(there: jax.Array, value: jax.Array) -> jax.Array:
    found = jnp.where(there, value, jnp.zeros_like(value))
    # In `jax.shard_map`, what differs from device to device stays apart from what does not.
    return found if jax.typeof(found) == jax.typeof(value) else value


def _seen(rows: Sequence[jax.Array], there: jax.Array | None) -> jax.Array | None:
    """A bool that is True, and depends on another and on rows alone: parts of a batch on devices stay apart."""
    for row in rows:
        if jnp.issubdtype(row.dtype, jnp.inexact) and row.size:
            one = jnp.real(row.reshape(-1)[0])
            true = (one > 0) | ~(one > 1)  # of NaN too, which no compiler knows
            there = true if there is None else there & true
    return there
