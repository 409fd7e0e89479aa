"""A unit that mixes what networks that run side by side give."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.sharing.base.shares import Start, convex


class Stitch(nn.Module):
    """x_i <- sum_j alpha_ij x_j, for each channel or for the layer."""

    start: Start
    per_channel: bool

    @nn.compact
    def __call__(self, inputs: Sequence[jax.Array]) -> list[jax.Array]:
        """Mixes one stage's outputs of all networks."""
        shape = (inputs[0].shape[-1],) if self.per_channel else (1,)

        def init(_: jax.Array) -> jax.Array:
            alpha = convex(self.start, len(inputs))
            return jnp.broadcast_to(alpha[..., None], (*alpha.shape, *shape)).astype(jnp.float32)

        alpha = self.param("alpha", init).astype(inputs[0].dtype)
        alpha = jnp.broadcast_to(alpha, (*alpha.shape[:2], inputs[0].shape[-1]))
        return list(jnp.einsum("ijc,j...c->i...c", alpha, jnp.stack(inputs)))
