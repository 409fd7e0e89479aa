"""Finds the last layer that the tasks share, in the order in which the model's program runs."""

from typing import Any

import jax
from jax.extend import core

from mtljax.errors import UserError
from mtljax.models import SHARED


def last_shared_layer(model: Any, params: Any, model_state: Any, images: Any) -> Any:
    """Marks the parameters of the last shared layer: GradNorm's W.

    It is the layer of the shared kernel (an array of two or more axes) that the forward pass uses last.

    Args:
        model: a model with `groups(params)`, as `MultiTask`.
        params: its parameters.
        model_state: its other collections.
        images: its input, or a tree of arrays; only shapes are read.

    Returns:
        A tree as `params` of bools.

    Raises:
        UserError: where the tasks share no layer.
    """

    def forward(params: Any) -> Any:
        return model.apply({"params": params, **model_state}, images)

    jaxpr = jax.make_jaxpr(forward)(params).jaxpr
    last_use = dict.fromkeys(jaxpr.invars, -1)
    _visit(jaxpr, {var: var for var in jaxpr.invars}, last_use, 0)
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    shared = [group == SHARED for group in jax.tree.leaves(model.groups(params))]
    kernels = [i for i, var in enumerate(jaxpr.invars) if shared[i] and var.aval.ndim > 1]
    if not kernels:
        raise UserError(f"{type(model).__name__} has no layer that tasks share; expected measure='shared'.")
    last = max(kernels, key=lambda i: last_use[jaxpr.invars[i]])
    layer = paths[last][:-1]
    return jax.tree.structure(params).unflatten([path[:-1] == layer for path in paths])


def _visit(jaxpr: Any, origin: dict[Any, Any], last_use: dict[Any, int], position: int) -> int:
    """Notes the position of the last equation that uses each input, or a cast of it; nested programs inlined."""
    for equation in jaxpr.eqns:
        position += 1
        for var in equation.invars:
            if not isinstance(var, core.Literal) and var in origin:
                last_use[origin[var]] = position
        inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
        inner = getattr(inner, "jaxpr", inner)
        if inner is not None and len(inner.invars) == len(equation.invars):
            pairs = zip(inner.invars, equation.invars, strict=True)
            inside = {v: origin[w] for v, w in pairs if not isinstance(w, core.Literal) and w in origin}
            position = _visit(inner, inside, last_use, position)
        elif equation.primitive.name == "convert_element_type" and equation.invars[0] in origin:
            origin[equation.outvars[0]] = origin[equation.invars[0]]
    return position
