"""How much networks that are joined take of each other at the start."""

import jax
import jax.numpy as jnp

Start = tuple[float, float] | str


def convex(start: Start, number: int) -> jax.Array:
    """How much each of `number` networks takes of each at the start: rows (number, number).

    Args:
        start: (same, different), the share of a network itself and the sum of the others'; `identity`; or `ones`.
        number: of networks.

    Example:
        >>> print(convex((0.9, 0.1), 3))
        [[0.9  0.05 0.05]
         [0.05 0.9  0.05]
         [0.05 0.05 0.9 ]]
    """
    if start == "ones":
        return jnp.ones((number, number))
    if isinstance(start, str) and start != "identity":
        raise ValueError(f"start {start!r}: expected a pair (same, different), 'identity' or 'ones'.")
    same, different = (1.0, 0.0) if start == "identity" else start
    identity = jnp.eye(number)
    return same * identity + different / max(1, number - 1) * (1 - identity)
