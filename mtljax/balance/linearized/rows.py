"""Takes a linear map onto T numbers apart into T linear maps, as far as its program keeps the numbers apart.

Differentiating `losses[t]` of a stacked array makes JAX walk back through every task, with zeros for the others;
and the program does not say which parameters a loss depends on. Both are mended by JAX's own dead-code elimination,
which sees through `jit`, `jax.checkpoint`, `cond` and `scan`, after element t of the output has been followed back
through what puts arrays together (`stack`, elementwise maths, a `vmap` or `scan` over tasks; `slices`).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core
from jax.interpreters import partial_eval

from mtljax.balance.linearized.owners import owners_of
from mtljax.balance.linearized.slices import CHECKPOINTS, ELEMENTWISE, INLINED, UNUSED, Part, bind, cut

LinearMap = Callable[[Any], jax.Array]
Need = tuple[int, Part]  # which input, and which part of it

_SAME_ELEMENT = ELEMENTWISE | {"broadcast_in_dim", "reshape", "squeeze"}


class Split(NamedTuple):
    """A linear map onto T numbers, taken apart.

    Attributes:
        rows: the maps onto each number, without what only the others need.
        owners: a tree as the input: for each leaf, the rows that depend on it.
        mixed: names of operations that put numbers together in a way that could not be looked through.
    """

    rows: list[LinearMap]
    owners: Any
    mixed: tuple[str, ...]


def split(linear: Callable[[Any], Any], params: Any, num_rows: int) -> Split:
    """The maps `params -> linear(params)[t]`, t = 0 .. num_rows - 1.

    Args:
        linear: a linear map onto an array (T,), or a tuple of T scalars.
        params: its input, or its shapes.
        num_rows: T.
    """
    closed = jax.make_jaxpr(linear)(params)
    jaxpr, consts = _opened(closed)
    leaves, structure = jax.tree.flatten(params)
    if len(jaxpr.outvars) == 1 and jaxpr.outvars[0].aval.shape == (num_rows,):
        wanted: list[tuple[Any, Part]] = [(jaxpr.outvars[0], (0, t)) for t in range(num_rows)]
    else:
        wanted = [(var, None) for var in jaxpr.outvars]
    mixed: dict[str, None] = {}
    taken = [_taken(jaxpr, *one, mixed) for one in wanted]

    def row(one: _Taken) -> LinearMap:
        def apply(tangents: Any) -> jax.Array:
            inputs = [*consts, *jax.tree.leaves(tangents)]
            return one.function(*(_part(inputs[i], part) for i, part in one.needs))

        return apply

    uses: list[dict[int, set[Part]]] = [{} for _ in leaves]
    for t, one in enumerate(taken):
        for i, part in one.uses:
            if i >= len(consts):
                uses[i - len(consts)].setdefault(t, set()).add(part)
    owners = owners_of(uses, [jnp.shape(leaf) for leaf in leaves])
    return Split([row(one) for one in taken], structure.unflatten(owners), tuple(mixed))


def _opened(closed: Any) -> tuple[Any, list[Any]]:
    """A program whose constants are its first inputs, and these."""
    consts = list(getattr(closed, "consts", ()))
    jaxpr = getattr(closed, "jaxpr", closed)
    return (_changed(jaxpr, constvars=[], invars=[*jaxpr.constvars, *jaxpr.invars]) if consts else jaxpr), consts


def _changed(jaxpr: Any, **variables: Any) -> Any:
    return jaxpr.replace(**variables, debug_info=jaxpr.debug_info.with_unknown_names())


def _part(value: jax.Array, part: Part) -> jax.Array:
    return value if part is None else jax.lax.index_in_dim(value, part[1], part[0], keepdims=False)


class _Taken(NamedTuple):
    """A variable of a program, or a part of one, from the program's inputs."""

    needs: list[Need]  # what `function` is given
    uses: list[Need]  # what of that it looks at
    function: Callable[..., jax.Array]


def _taken(jaxpr: Any, var: Any, part: Part, mixed: dict[str, None]) -> _Taken:
    reader = _Reader(jaxpr, mixed)
    read = reader.read(var, part)
    whole = list(reader.whole)
    smaller, used = partial_eval.dce_jaxpr(_changed(jaxpr, outvars=whole), [True] * len(whole))
    needs: list[Need] = [(i, None) for i, needed in enumerate(used) if needed]
    evaluate = core.jaxpr_as_fun(core.ClosedJaxpr(smaller, ()))

    def function(*inputs: Any) -> jax.Array:
        values = dict(zip([(var, None) for var in whole], evaluate(*inputs[: len(needs)]), strict=True))
        values.update(zip(reader.parts, inputs[len(needs) :], strict=True))
        return read(values)

    parts = [(jaxpr.invars.index(var), part) for var, part in reader.parts]
    uses = [(i, _sole_index(smaller, var)) for (i, _), var in zip(needs, smaller.invars, strict=True)]
    return _Taken(needs + parts, uses + parts, function)


def _sole_index(jaxpr: Any, var: Any) -> Part:
    """The one index along one axis of an input that a program looks at, or None."""
    found = set()
    for equation in jaxpr.eqns:
        if var in equation.invars:
            found.add(_indexed(equation))
    return found.pop() if len(found) == 1 and var not in jaxpr.outvars else None


Read = Callable[[dict[Any, Any]], Any]


class _Reader:
    """Follows parts of a program's variables back to variables that are needed whole, and to parts of its inputs."""

    def __init__(self, jaxpr: Any, mixed: dict[str, None]) -> None:
        self._made_by = {var: equation for equation in jaxpr.eqns for var in equation.outvars}
        self._found: dict[Any, Read] = {}
        self._mixed = mixed
        self.whole: dict[Any, None] = {}
        self.parts: dict[Any, None] = {}

    def read(self, var: Any, part: Part) -> Read:
        """From the values of what was noted as needed to that of a variable or its part."""
        if isinstance(var, core.Literal):
            return lambda values: var.val
        key = (var, part)
        if key not in self._found:
            compute = self._compute(var, part)

            def once(values: dict[Any, Any]) -> Any:
                if key not in values:
                    values[key] = compute(values)
                return values[key]

            self._found[key] = once
        return self._found[key]

    def _compute(self, var: Any, part: Part) -> Read:
        equation = self._made_by.get(var)
        if equation is None:
            (self.whole if part is None else self.parts)[var if part is None else (var, part)] = None
            return lambda values: values[var, part]
        if part is not None or var.aval.size == 1:
            found = self._inside(equation, var, part) or self._by_rule(equation, var, part)
            if found is not None:
                return found
        if part is not None:
            self._mixed[equation.primitive.name] = None
        self.whole[var] = None
        return (lambda values: values[var, None]) if part is None else lambda values: _part(values[var, None], part)

    def _by_rule(self, equation: Any, var: Any, part: Part) -> Read | None:
        found = _element(equation, var) if part is None else cut(equation, *part)
        return None if found is None else self._made(equation.invars, *found)

    def _made(self, operands: Sequence[Any], parts: Sequence[Part], build: Callable[..., Any]) -> Read:
        reads = [self.read(v, p) for v, p in zip(operands, parts, strict=True) if p != UNUSED]
        return lambda values: build(*(read(values) for read in reads))

    def _inside(self, equation: Any, var: Any, part: Part) -> Read | None:
        name, params, at = equation.primitive.name, equation.params, equation.outvars.index(var)
        if name in INLINED | CHECKPOINTS:
            inner, consts = _opened(params.get("jaxpr", params.get("call_jaxpr")))
            needs, _, function = _taken(inner, inner.outvars[at], part, self._mixed)
            if name in CHECKPOINTS:
                function = _checkpointed(equation, function)
            return self._of_inputs(equation.invars, consts, needs, function)
        if name == "cond" and part is not None:
            return self._inside_branches(equation, at, part)
        if name == "scan" and part is not None:
            return self._inside_turn(equation, at, part)
        return None

    def _of_inputs(
        self, operands: Sequence[Any], consts: Sequence[Any], needs: Sequence[Need], function: Callable[..., Any]
    ) -> Read:
        """A function of parts of an inner program's inputs, its constants the first of them."""
        number = len(consts)
        reads = [
            (lambda values, i=i, p=p: _part(consts[i], p)) if i < number else self.read(operands[i - number], p)
            for i, p in needs
        ]
        return lambda values: function(*(read(values) for read in reads))

    def _inside_branches(self, equation: Any, at: int, part: Part) -> Read:
        branches = []
        for branch in equation.params["branches"]:
            inner, consts = _opened(branch)
            needs, _, function = _taken(inner, inner.outvars[at], part, self._mixed)
            branches.append(self._of_inputs(equation.invars[1:], consts, needs, function))
        index = self.read(equation.invars[0], None)

        def chosen(values: dict[Any, Any]) -> Any:
            # Each branch reads into a copy: what it computes stays inside it.
            return jax.lax.switch(index(values), [lambda b=b: b(dict(values)) for b in branches])

        return chosen

    def _inside_turn(self, equation: Any, at: int, part: tuple[int, int]) -> Read | None:
        """One turn of a loop, where it needs no turn before it."""
        body, consts = _opened(equation.params["jaxpr"])
        num_consts, num_carry = _loop_inputs(equation)
        first = len(consts)
        if at < num_carry or part[0] != 0:
            return None
        needs, _, function = _taken(body, body.outvars[at], None, self._mixed)
        reads: list[Need] = []
        for i, inner in needs:
            carried = i - first - num_consts
            if 0 <= carried < num_carry and _passed(body, body.outvars[carried]) is not body.invars[i]:
                return None
            looped = carried >= num_carry
            reads.append((i, (part if looped else inner)))
        rest = [inner if i - first - num_consts >= num_carry else None for i, inner in needs]

        def turn(*inputs: Any) -> Any:
            return function(*(_part(x, p) for x, p in zip(inputs, rest, strict=True)))

        return self._of_inputs(equation.invars, consts, reads, turn)


def _element(equation: Any, var: Any) -> tuple[list[Part], Callable[..., Any]] | None:
    """As `cut`, for a result of one element."""
    name, params = equation.primitive.name, equation.params
    if name in _SAME_ELEMENT and len(equation.outvars) == 1 and all(v.aval.size == 1 for v in equation.invars):
        return [None] * len(equation.invars), lambda *operands: bind(equation, *operands)
    if name == "unstack":
        return [(params["axis"], equation.outvars.index(var))], lambda x: x
    part = _indexed(equation)
    return None if part is None else ([part], lambda x: jnp.expand_dims(x, part[0]))


def _indexed(equation: Any) -> Part:
    """The one index along one axis that a `slice` takes, the other axes whole; None for anything else."""
    if equation.primitive.name != "slice":
        return None
    start, taken = equation.params["start_indices"], equation.outvars[0].aval.shape
    axes = [a for a, size in enumerate(equation.invars[0].aval.shape) if size != taken[a]]
    return (axes[0], int(start[axes[0]])) if len(axes) == 1 and taken[axes[0]] == 1 else None


def _checkpointed(equation: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function recomputed on the way back as the equation says."""

    def apply(*inputs: Any) -> Any:
        jaxpr, consts = _opened(jax.make_jaxpr(function)(*inputs))
        return equation.primitive.bind(*consts, *inputs, **{**equation.params, "jaxpr": jaxpr})[0]

    return apply


def _passed(jaxpr: Any, var: Any) -> Any:
    """The variable that this one is, once programs inside that hand it on unchanged are looked through."""
    for equation in reversed(jaxpr.eqns):
        if equation.primitive.name in INLINED | CHECKPOINTS and var in equation.outvars:
            inner, consts = _opened(equation.params.get("jaxpr", equation.params.get("call_jaxpr")))
            handed = _passed(inner, inner.outvars[equation.outvars.index(var)])
            if handed not in inner.invars[len(consts) :]:
                return var
            var = equation.invars[inner.invars.index(handed) - len(consts)]
    return var


def _loop_inputs(equation: Any) -> tuple[int, int]:
    """How many of a scan's inputs are constants, and how many are carried."""
    params = equation.params
    if "num_consts" in params:
        return params["num_consts"], params["num_carry"]
    consts, carry, _ = params["ft_in"].unpack()  # as of JAX 0.12
    return len(list(consts)), len(list(carry))
