"""What a model is made of, as a table."""

import collections
import math
from collections.abc import Iterable, Iterator
from typing import Any, cast

import flax.linen as nn
import jax
from jax.core import ShapedArray
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Var

_HEADINGS = ("module", "output", "parameters", "FLOPs", "group")
_NUMBERS = ("parameters", "FLOPs")
_MARK, _BETWEEN, _END = "<at:", "|", ">"  # a module's path in the names of the operations that it makes

Path = tuple[str, ...]


def summary(model: Any, images: Any, *, depth: int = 2) -> str:
    """The architecture as a table: module, shape, parameters, FLOPs, optimiser group.

    FLOPs are those of one forward pass on `images`: two for each multiplication and addition in convolutions and
    matrix products; what is done element by element is not counted. Nothing is computed or compiled.

    Args:
        model: with `groups`, such as `MultiTask`.
        images: (B, H, W, C), clips (B, s, H, W, C) or vectors (B, F); arrays or `jax.ShapeDtypeStruct`.
        depth: of the modules shown.

    Returns:
        A line a module and one for all together.

    Example:
        >>> import jax.numpy as jnp, mtljax as mtl
        >>> heads = {"a": mtl.heads.Linear(2), "b": mtl.heads.Linear(1)}
        >>> print(mtl.summary(mtl.MultiTask(mtl.encoders.MLP((16,)), heads), jnp.ones((2, 5))))
        module           output   parameters  FLOPs  group
        encoder          (2, 16)          96    320  shared
        encoder/Dense_0  (2, 16)          96    320  shared
        heads_a          (2, 2)           34    128  a
        heads_a/Dense_0  (2, 2)           34    128  a
        heads_b          (2, 1)           17     64  b
        heads_b/Dense_0  (2, 1)           17     64  b
        all                              147    512
    """
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    sizes = {_names(path): leaf.size for path, leaf in jax.tree_util.tree_leaves_with_path(variables["params"])}
    groups = {
        _names(path): group for path, group in jax.tree_util.tree_leaves_with_path(model.groups(variables["params"]))
    }
    flops, outputs = _traced(model, variables, images)
    rows: list[tuple[str, ...]] = [_HEADINGS]
    for path in _modules(sizes, depth):
        inside = [leaf for leaf in sizes if leaf[: len(path)] == path]
        parameters = sum(sizes[leaf] for leaf in inside)
        own = ", ".join(dict.fromkeys(groups[leaf] for leaf in inside))
        rows.append(("/".join(path), outputs.get(path, ""), f"{parameters:,}", f"{_total(flops, path):,}", own))
    rows.append(("all", "", f"{sum(sizes.values()):,}", f"{_total(flops, ()):,}", ""))
    return _aligned(rows)


def _names(path: Iterable[Any]) -> Path:
    return tuple(str(getattr(part, "key", part)) for part in path)


def _modules(leaves: Iterable[Path], depth: int) -> list[Path]:
    """The paths of modules, and of parameters that stand in none."""
    found: dict[Path, None] = {}
    for leaf in leaves:
        for length in range(1, min(depth, max(1, len(leaf) - 1)) + 1):
            found[leaf[:length]] = None
    return sorted(found)


def _traced(model: Any, variables: Any, images: Any) -> tuple[dict[Path, int], dict[Path, str]]:
    """The FLOPs that each module makes itself, and the shapes that it gave last."""
    outputs: dict[Path, str] = {}

    def mark(method: Any, args: Any, kwargs: Any, context: Any) -> Any:
        path = tuple(context.module.path)
        with jax.named_scope(_MARK + _BETWEEN.join(path) + _END):
            result = method(*args, **kwargs)
        shapes = [str(leaf.shape) for leaf in jax.tree.leaves(result) if hasattr(leaf, "shape")]
        if shapes:
            outputs[path] = " ".join(shapes)
        return result

    with nn.intercept_methods(mark):
        traced = jax.make_jaxpr(lambda variables, images: model.apply(variables, images))(variables, images)
    flops: dict[Path, int] = collections.Counter()
    for names, count in _operations(traced.jaxpr):
        where = names.rpartition(_MARK)[2].partition(_END)[0] if _MARK in names else ""
        flops[tuple(filter(None, where.split(_BETWEEN)))] += count
    return flops, outputs


def _operations(jaxpr: Jaxpr, within: str = "", times: int = 1) -> Iterator[tuple[str, int]]:
    """The names and the FLOPs of all convolutions and matrix products, inner functions' too."""
    for equation in jaxpr.eqns:
        names = f"{within}/{equation.source_info.name_stack}"
        shape = _shape(equation.outvars[0]) if equation.outvars else ()
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            terms = math.prod(_shape(equation.invars[0])[axis] for axis in contracted)
            yield names, 2 * times * math.prod(shape) * terms
        elif equation.primitive.name == "conv_general_dilated":
            kernel = _shape(equation.invars[1])
            terms = math.prod(kernel) // kernel[equation.params["dimension_numbers"].rhs_spec[0]]
            # A dilated input is mostly zeros.
            yield names, 2 * times * math.prod(shape) * terms // math.prod(equation.params["lhs_dilation"])
        repeated = times * equation.params.get("length", 1) if equation.primitive.name == "scan" else times
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda x: isinstance(x, ClosedJaxpr | Jaxpr)
        ):
            if isinstance(inner, ClosedJaxpr | Jaxpr):
                yield from _operations(inner.jaxpr if isinstance(inner, ClosedJaxpr) else inner, names, repeated)


def _shape(operand: Var | Literal) -> tuple[int, ...]:
    return cast(ShapedArray, operand.aval).shape


def _total(flops: dict[Path, int], within: Path) -> int:
    return sum(count for path, count in flops.items() if path[: len(within)] == within)


def _aligned(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = zip(row, widths, _HEADINGS, strict=True)
        lines.append("  ".join(c.rjust(w) if name in _NUMBERS else c.ljust(w) for c, w, name in cells).rstrip())
    return "\n".join(lines)
