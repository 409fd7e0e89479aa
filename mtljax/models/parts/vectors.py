"""What a model is given as one vector an example."""

from typing import Any

import jax
import jax.numpy as jnp

from mtljax.models.parts.clips import is_tree


def as_vectors(x: Any, taker: str) -> jax.Array:
    """An array, or the arrays of a tree side by side in the order of their names: (B, ...) each -> (B, F).

    Args:
        x: an array, or a tree of arrays of floats.
        taker: the name of what takes them, for the error.

    Raises:
        ValueError: for whole numbers in a tree, which may be classes or words.

    Example:
        >>> as_vectors({"age": jnp.ones((2,)), "sound": jnp.ones((2, 4, 3))}, "MLP").shape
        (2, 13)
    """
    if not is_tree(x):
        return x.reshape(x.shape[0], -1)
    for path, leaf in jax.tree_util.tree_leaves_with_path(x):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise ValueError(
                f"{taker} takes arrays of floats; inputs{jax.tree_util.keystr(path)} holds {leaf.dtype}: expected an "
                "encoder of your own, which knows what these numbers mean."
            )
    return jnp.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(x)], axis=-1)
