"""Rigid and free motion compete for the pixels, and a mask decides (Competitive Collaboration, Ranjan et al. 2019)."""

import jax
import jax.numpy as jnp

_SAME_FLOW = 0.01  # pixels
_STATIC_SHARE = 0.5  # the weight of static pixels in the cross-entropy; moving ones have the rest


def mixed(logits: jax.Array, rigid_error: jax.Array, free_error: jax.Array) -> jax.Array:
    """m E_R + (1 - m) E_F, m the probability that a pixel is static; no gradient passes to m.

    An error that is infinite is not known: then the other stands alone.

    Args:
        logits: of m, (..., H, W, 1).
        rigid_error: of the frame made from depth and pose, (..., H, W, 1).
        free_error: of the frame made from flow, (..., H, W, 1).
    """
    m = jax.lax.stop_gradient(jax.nn.sigmoid(logits))
    both = jnp.isfinite(rigid_error) & jnp.isfinite(free_error)
    rigid, free = (jnp.where(both, error, 0.0) for error in (rigid_error, free_error))
    return jnp.where(both, m * rigid + (1 - m) * free, jnp.minimum(rigid_error, free_error))


def mask_entropy(
    logits: jax.Array, rigid_error: jax.Array, free_error: jax.Array, flow_difference: jax.Array
) -> jax.Array:
    """The mask's cross-entropy towards 1[E_R <= E_F] or 1[|rigid flow - flow| < 0.01], a mean over an image: (...).

    No gradient passes to the errors and flows: mask and networks are trained each with the other held.

    Args:
        logits: of the probability that a pixel is static, (..., H, W, 1).
        rigid_error: of the frame made from depth and pose, (..., H, W, 1); infinite where not known.
        free_error: of the frame made from flow, likewise.
        flow_difference: the larger of both components' differences in pixels, (..., H, W, 1).
    """
    known = jnp.isfinite(rigid_error) & jnp.isfinite(free_error)
    static = (rigid_error <= free_error) | (flow_difference < _SAME_FLOW)
    entropy = -jnp.where(
        static, _STATIC_SHARE * jax.nn.log_sigmoid(logits), (1 - _STATIC_SHARE) * jax.nn.log_sigmoid(-logits)
    )
    total = jnp.sum(jnp.where(known, entropy, 0.0), axis=(-3, -2, -1))
    return total / jnp.maximum(jnp.sum(known, axis=(-3, -2, -1)), 1)
