"""One vector for a whole image."""

from typing import Any

import jax

from mtljax.models.parts.pyramid import levels_of


def global_pool(features: Any) -> jax.Array:
    """The coarsest map, averaged over space: a pyramid or `(B, h, w, C)` -> `(B, C)`; vectors as they are.

    Raises:
        ValueError: for what is neither.

    Example:
        >>> import jax.numpy as jnp
        >>> global_pool((jnp.ones((2, 8, 8, 3)), jnp.ones((2, 4, 4, 5)))).shape
        (2, 5)
    """
    x = levels_of(features)[-1]
    if getattr(x, "ndim", 0) < 2:
        found = f"have shape {x.shape}" if hasattr(x, "shape") else f"are of type {type(x).__name__}"
        raise ValueError(f"features {found}; expected a map (B, h, w, C), a pyramid, or vectors (B, C).")
    return x if x.ndim == 2 else x.mean(axis=tuple(range(1, x.ndim - 1)))
