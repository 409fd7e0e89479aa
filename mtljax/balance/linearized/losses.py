"""The losses of all tasks, as functions of the parameters may return them."""

from typing import Any

import jax
import jax.numpy as jnp


def stacked(losses: Any) -> jax.Array:
    """Losses as `losses_fn` may return them as one array, (T,)."""
    found = checked(losses)
    return jnp.stack(found) if isinstance(found, tuple) else found


def checked(losses: Any) -> jax.Array | tuple[jax.Array, ...]:
    """The losses as an array (T,) where they are one, else as a tuple of T scalars of one dtype."""
    if hasattr(losses, "ndim") and losses.ndim == 1 and losses.shape[0] > 0:
        return losses
    leaves = jax.tree.leaves(losses)
    shapes = [jnp.shape(leaf) for leaf in leaves]
    if not leaves or any(shape != () for shape in shapes):
        raise ValueError(
            "losses_fn must return one scalar a task, in a dict, a sequence or an array (T,); "
            f"got {'nothing' if not leaves else f'shapes {shapes}'}. (losses, aux) wants has_aux=True."
        )
    dtype = jnp.result_type(*leaves)
    return tuple(jnp.asarray(leaf, dtype) for leaf in leaves)
