"""Keeps of a forward pass what was dear to make, and makes the rest again in each backward pass."""

from collections.abc import Callable
from typing import Any

import jax

from mtljax.balance.linearized.slices import ELEMENTWISE

# What a compiler makes on the way, while it reads the operands.
# fmt: off
_CHEAP = ELEMENTWISE | {
    "broadcast_in_dim", "concatenate", "expand_dims", "iota", "pad", "random_bits", "random_fold_in", "random_seed",
    "random_split", "random_unwrap", "random_wrap", "reshape", "rev", "shift_left", "shift_right_arithmetic",
    "shift_right_logical", "slice", "split", "squeeze", "stack", "threefry2x32", "transpose", "unstack",
}
# fmt: on


def recomputed(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose derivative keeps what products, convolutions, reductions and the like give, and no more.

    Many backward passes need what one lets go on its way, and a compiler keeps what several of them read. So what is
    made element by element (activations, normalised features, random numbers), or only moved, is made again in each.

    Args:
        function: of trees of arrays, and giving one.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> jax.grad(recomputed(lambda x: jnp.sum(jnp.sin(x) ** 2)))(jnp.zeros(2))
        Array([0., 0.], dtype=float32)
    """
    return jax.checkpoint(function, policy=_is_dear)


def _is_dear(primitive: Any, *_: Any, **params: Any) -> bool:
    """Whether to keep what an operation gives; of one with a derivative of its own, by what is inside."""
    inner = params.get("call_jaxpr", params.get("jaxpr"))
    if inner is not None and primitive.name in ("custom_jvp_call", "jit", "pjit"):
        return any(_is_dear(one.primitive, **one.params) for one in inner.jaxpr.eqns)
    return primitive.name not in _CHEAP
