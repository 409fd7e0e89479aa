"""Whether all numbers of many arrays are finite, in few operations: each hundred takes seconds to compile."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp


def all_finite(tree: Any) -> jax.Array:
    """Whether all elements of a tree of arrays are finite, a bool.

    Example:
        >>> bool(all_finite([jnp.ones(2), jnp.zeros(2)])), bool(all_finite([jnp.ones(2), jnp.array([0.0, jnp.inf])]))
        (True, False)
    """
    return _all(jnp.isfinite(leaf) for leaf in jax.tree.leaves(tree))


def still_finite(new: Any, old: Any) -> jax.Array:
    """Whether all elements that were finite are, of the leaves of floats of two trees of one structure, a bool.

    Example:
        >>> before, after = jnp.array([0.0, jnp.inf]), jnp.array([1.0, jnp.nan])
        >>> bool(still_finite(after, before)), bool(still_finite(before, before[::-1]))
        (True, False)
    """
    pairs = zip(jax.tree.leaves(new), jax.tree.leaves(old), strict=True)
    return _all(
        jnp.isfinite(after) | ~jnp.isfinite(before)
        for after, before in pairs
        if jnp.issubdtype(after.dtype, jnp.inexact)
    )


def _all(flags: Iterable[jax.Array]) -> jax.Array:
    """Whether all of many arrays' elements are set: those of one shape are looked at together."""
    by_shape: dict[tuple[int, ...], jax.Array] = {}
    for flag in flags:
        by_shape[flag.shape] = by_shape[flag.shape] & flag if flag.shape in by_shape else flag
    return jnp.all(jnp.stack([jnp.all(flag) for flag in by_shape.values()])) if by_shape else jnp.array(True)
