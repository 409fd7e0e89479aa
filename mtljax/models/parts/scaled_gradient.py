"""Gradients that are scaled on their way backward."""

from functools import partial
from typing import Any

import jax


def scaled_gradient(tree: Any, scale: float | None) -> Any:
    """The arrays of a tree as they are, whose gradients are multiplied by a number; None for 1.

    Example:
        >>> import jax
        >>> print(jax.value_and_grad(lambda x: scaled_gradient(x, 0.1) ** 2)(3.0))
        (Array(9., dtype=float32...), Array(0.6, dtype=float32...))
    """
    return tree if scale is None else jax.tree.map(lambda x: _scaled(float(scale), x), tree)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _scaled(scale: float, x: jax.Array) -> jax.Array:
    return x


@_scaled.defjvp
def _scaled_jvp(scale: float, primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    return primals[0], scale * tangents[0]
