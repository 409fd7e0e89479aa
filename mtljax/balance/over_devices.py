"""What JAX's types say of arrays on several devices, in a loop of one's own that is spread by `jit` or `shard_map`."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp


def varying_as(cotangent: jax.Array, loss: jax.Array) -> jax.Array:
    """A cotangent that, in `jax.shard_map`, differs over the axes over which the loss does, as its type must say."""
    ones = jax.lax.full_like(loss, 1)
    return cotangent if jax.typeof(cotangent) == jax.typeof(ones) else cotangent * ones


def refuse_explicit(leaves: Iterable[Any]) -> None:
    """What is split over explicit axes of a mesh is not taken: every product of it would have to say how.

    Args:
        leaves: parameters, or gradients.

    Raises:
        ValueError: where one of them is.
    """
    for leaf in leaves:
        spec = jax.typeof(leaf).sharding.spec
        if any(axes is not None for axes in spec):
            raise ValueError(
                f"an array of shape {jnp.shape(leaf)} is split as {spec} over explicit axes of a mesh, which are what "
                "jax.make_mesh makes; balancers take parameters and gradients that are split over Auto ones: "
                "jax.make_mesh(shape, names, axis_types=(jax.sharding.AxisType.Auto,) * len(names)). What every device "
                "holds whole they take of any mesh."
            )
