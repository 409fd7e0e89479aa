"""One index along one axis of what an operation gives, from as little of its operands as the operation allows.

A rule is `(equation, axis, index) -> (parts, build)`, or None where it does not apply: which part of each operand is
needed, None for all of it or `(axis, index)`, and what makes the result of those parts, its axis taken out.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import lax

Part = tuple[int, int] | None
Cut = tuple[list[Part], Callable[..., jax.Array]]

# Names of operations, in several releases of JAX.
INLINED = frozenset({"jit", "pjit", "closed_call", "core_call"})  # programs inside that change nothing
CHECKPOINTS = frozenset({"remat", "remat2", "checkpoint"})
# fmt: off
ELEMENTWISE = frozenset({
    "abs", "acos", "acosh", "add", "add_any", "and", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "clamp",
    "convert_element_type", "copy", "copy_p", "cos", "cosh", "div", "eq", "erf", "erf_inv", "erfc", "exp", "exp2",
    "expm1", "ge", "gt", "imag", "integer_pow", "is_finite", "le", "log", "log1p", "logistic", "lt", "max", "min",
    "mul", "ne", "neg", "nextafter", "not", "or", "pow", "real", "reduce_precision", "rem", "round", "rsqrt",
    "select_n", "sign", "sin", "sinh", "sqrt", "square", "stop_gradient", "sub", "tan", "tanh", "xor",
})
# fmt: on
REDUCTIONS = frozenset({"argmax", "argmin", *(f"reduce_{kind}" for kind in ("and", "max", "min", "or", "prod", "sum"))})


def cut(equation: Any, axis: int, index: int) -> Cut | None:
    """The rule of an operation, applied; None where there is none."""
    name = equation.primitive.name
    if name in ELEMENTWISE:
        return _elementwise(equation, axis, index)
    if name in REDUCTIONS:
        return _reduce(equation, axis, index)
    rule = _RULES.get(name)
    return rule(equation, axis, index) if rule else None


def bind(equation: Any, *operands: Any, **changed: Any) -> Any:
    """Evaluates an equation's operation, with some of its parameters changed."""
    with equation.ctx.manager:
        params = {k: None if k in ("sharding", "out_sharding") else v for k, v in equation.params.items()} | changed
        params = equation.primitive.get_bind_params(params)
        functions, params = params if isinstance(params, tuple) else ((), params)  # by JAX version
        return equation.primitive.bind(*functions, *operands, **params)


def _without(values: Sequence[int], position: int) -> tuple[int, ...]:
    return (*values[:position], *values[position + 1 :])


def _renumbered(axes: Sequence[int], gone: int) -> tuple[int, ...]:
    """Axes of an array, told in the numbers they have once axis `gone` is taken out."""
    return tuple(int(a) - (a > gone) for a in axes if a != gone)


def _elementwise(equation: Any, axis: int, index: int) -> Cut | None:
    shape = equation.outvars[0].aval.shape
    sizes = [v.aval.shape for v in equation.invars]
    if len(equation.outvars) > 1 or any(len(size) not in (len(shape), 0) for size in sizes):
        return None
    parts = [(axis, index if size[axis] == shape[axis] else 0) if size else None for size in sizes]
    return parts, lambda *operands: bind(equation, *operands)


def _reduce(equation: Any, axis: int, index: int) -> Cut:
    axes = equation.params["axes"]
    kept = [a for a in range(equation.invars[0].aval.ndim) if a not in axes][axis]
    return [(kept, index)], lambda x: bind(equation, x, axes=_renumbered(axes, kept))


def _broadcast(equation: Any, axis: int, index: int) -> Cut:
    operand, shape = equation.invars[0].aval.shape, equation.params["shape"]
    dimensions = tuple(equation.params["broadcast_dimensions"])
    left, part, rest = _without(shape, axis), None, dimensions
    if axis in dimensions:
        at = dimensions.index(axis)
        part, rest = (at, index if operand[at] == shape[axis] else 0), _without(dimensions, at)
    return [part], lambda x: lax.broadcast_in_dim(x, left, _renumbered(rest, axis))


def _reshape(equation: Any, axis: int, index: int) -> Cut | None:
    before, after = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    left = _without(after, axis)
    if after[axis] == 1:
        return [None], lambda x: lax.reshape(x, left)
    for at, size in enumerate(before):
        if size == after[axis] and math.prod(before[:at]) == math.prod(after[:axis]):
            return [(at, index)], lambda x: lax.reshape(x, left)
    return None


def _transpose(equation: Any, axis: int, index: int) -> Cut:
    permutation = equation.params["permutation"]
    at = int(permutation[axis])
    return [(at, index)], lambda x: lax.transpose(x, _renumbered(permutation, at))


def _dot_general(equation: Any, axis: int, index: int) -> Cut:
    contracted, batch = equation.params["dimension_numbers"]
    free = [
        [a for a in range(v.aval.ndim) if a not in (*contracted[side], *batch[side])]
        for side, v in enumerate(equation.invars)
    ]
    number = len(batch[0])
    if axis < number:
        gone = [int(batch[0][axis]), int(batch[1][axis])]
    elif axis < number + len(free[0]):
        gone = [free[0][axis - number], None]
    else:
        gone = [None, free[1][axis - number - len(free[0])]]

    def left(axes: Sequence[int], side: int) -> tuple[int, ...]:
        return tuple(axes) if gone[side] is None else _renumbered(axes, gone[side])

    numbers = tuple(tuple(left(axes, side) for side, axes in enumerate(pair)) for pair in (contracted, batch))
    parts = [None if a is None else (a, index) for a in gone]
    return parts, lambda x, y: bind(equation, x, y, dimension_numbers=numbers)


def _concatenate(equation: Any, axis: int, index: int) -> Cut:
    dimension = equation.params["dimension"]
    if axis != dimension:
        left = dimension - (dimension > axis)
        return [(axis, index)] * len(equation.invars), lambda *xs: lax.concatenate(xs, left)
    sizes = [v.aval.shape[axis] for v in equation.invars]
    chosen = 0
    while index >= sizes[chosen]:
        index, chosen = index - sizes[chosen], chosen + 1
    return _only(chosen, len(sizes), (axis, index))


def _stack(equation: Any, axis: int, index: int) -> Cut:
    dimension = equation.params["axis"]
    if axis == dimension:
        return _only(index, len(equation.invars), None)
    at = axis - (axis > dimension)
    left = dimension - (dimension > axis)
    return [(at, index)] * len(equation.invars), lambda *xs: jax.numpy.stack(xs, left)


UNUSED = (-1, -1)


def _only(chosen: int, number: int, part: Part) -> Cut:
    """One of the operands, the others not needed."""
    return [part if i == chosen else UNUSED for i in range(number)], lambda x: x


def _slice(equation: Any, axis: int, index: int) -> Cut:
    start, limit = equation.params["start_indices"], equation.params["limit_indices"]
    strides = equation.params["strides"] or (1,) * len(start)
    at = int(start[axis] + index * strides[axis])
    rest = [_without(values, axis) for values in (start, limit, strides)]
    return [(axis, at)], lambda x: lax.slice(x, *rest)


def _squeeze(equation: Any, axis: int, index: int) -> Cut:
    gone = equation.params["dimensions"]
    at = [a for a in range(equation.invars[0].aval.ndim) if a not in gone][axis]
    return [(at, index)], lambda x: lax.squeeze(x, _renumbered(gone, at))


def _gather(equation: Any, axis: int, index: int) -> Cut | None:
    """A batch of gathers (what `vmap` makes of `take_along_axis`), or an axis that is gathered whole."""
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    operand, indices = (v.aval for v in equation.invars)
    taken = (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)
    if axis in numbers.offset_dims:
        gone = [a for a in range(operand.ndim) if a not in taken][numbers.offset_dims.index(axis)]
        if sizes[gone] != operand.shape[gone] or gone in numbers.start_index_map:
            return None
        from_indices = None
    else:
        batch = [a for a in range(operand.ndim - len(taken) + indices.ndim - 1) if a not in numbers.offset_dims]
        from_indices = batch.index(axis)
        if from_indices not in numbers.start_indices_batching_dims:
            return None
        gone = int(numbers.operand_batching_dims[numbers.start_indices_batching_dims.index(from_indices)])
    batching = numbers.start_indices_batching_dims
    changed = lax.GatherDimensionNumbers(
        offset_dims=_renumbered(numbers.offset_dims, axis),
        collapsed_slice_dims=_renumbered(numbers.collapsed_slice_dims, gone),
        start_index_map=_renumbered(numbers.start_index_map, gone),
        operand_batching_dims=_renumbered(numbers.operand_batching_dims, gone),
        start_indices_batching_dims=batching if from_indices is None else _renumbered(batching, from_indices),
    )
    parts = [(gone, index), None if from_indices is None else (from_indices, index)]
    left = _without(sizes, gone)
    return parts, lambda x, i: bind(equation, x, i, dimension_numbers=changed, slice_sizes=left)


def _over_devices(equation: Any, axis: int, index: int) -> Cut | None:
    """A sum over axes of a mesh, or a change of type, which leaves the axes of the array alone."""
    if len(equation.invars) > 1 or not all(isinstance(name, str) for name in equation.params["axes"]):
        return None

    def one(x: jax.Array) -> jax.Array:
        found = bind(equation, x)
        return found[0] if equation.primitive.multiple_results else found

    return [(axis, index)], one


_RULES = {
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "dot_general": _dot_general,
    "gather": _gather,
    "psum": _over_devices,
    "psum_invariant": _over_devices,
    "pvary": _over_devices,
    "reshape": _reshape,
    "slice": _slice,
    "squeeze": _squeeze,
    "stack": _stack,
    "transpose": _transpose,
}
