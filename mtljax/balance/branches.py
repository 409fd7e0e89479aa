"""Work that is only done where it is needed, on backends where a branch costs less than the work.

On a GPU or TPU, passes over gradients are cheap and are fused; a branch is not. On the CPU it is the other way round.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

_backend = jax.default_backend


def branches_pay() -> bool:
    """Whether a branch is cheaper than a pass over the gradients."""
    return _backend() == "cpu"


def unless(fine: jax.Array, value: Any, otherwise: Callable[[], Any]) -> Any:
    """`value` where it is fine, else `otherwise()`, which is computed only then.

    As a loop of no or one step, since XLA copies what passes through a `cond`, but not what passes through a loop. No
    gradient goes back through a loop: what is differentiated is the `cond`.
    """
    traced, shape = jax.make_jaxpr(otherwise, return_shape=True)()

    def instead(known: list[Any]) -> Any:
        leaves = core.jaxpr_as_fun(core.ClosedJaxpr(traced.jaxpr, known))()
        return jax.tree.structure(shape).unflatten(leaves)

    @jax.custom_jvp
    def loop(fine: jax.Array, value: Any, known: list[Any]) -> Any:
        return jax.lax.while_loop(lambda c: ~c[0], lambda c: (c[0] | True, instead(known)), (fine, value))[1]

    def branch(fine: jax.Array, value: Any, known: list[Any]) -> Any:
        return jax.lax.cond(fine, lambda: value, lambda: instead(known))

    loop.defjvp(functools.partial(jax.jvp, branch))
    return loop(fine, value, traced.consts)


def surely_finite(leaf: jax.Array) -> jax.Array:
    """Whether all elements are finite; False as well where their squares are too large to tell by one product."""
    flat = leaf.reshape(-1)
    return jnp.isfinite(jnp.dot(flat, flat))
