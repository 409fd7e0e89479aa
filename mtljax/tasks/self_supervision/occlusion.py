"""Which pixels the neighbouring frame shows too, by whether the flow there and the flow back cancel."""

from typing import Any

import jax
import jax.numpy as jnp

from mtljax import geometry

RULES = ("dfnet", "geonet")


def visible(forth: jax.Array, back: jax.Array, rule: str) -> jax.Array:
    """Where a flow and the flow back cancel: (..., H, W, 2) -> (..., H, W, 1) bool. Gradients do not pass.

    With f the flow, and b the flow back at the place f leads to, a pixel is visible where
    - `dfnet` (Zou et al. 2018; Sundaram et al. 2010): |f + b|^2 <= 0.01 (|f|^2 + |b|^2) + 0.5;
    - `geonet` (Yin & Shi 2018, eq. 7): |f + b| < max(3, 0.05 |f|).

    Args:
        forth: flow of a frame to its neighbour, in pixels.
        back: flow of the neighbour to the frame.
        rule: one of the two.

    Example:
        >>> import jax.numpy as jnp
        >>> right = jnp.array([2.0, 0.0]) * jnp.ones((1, 4, 2))
        >>> print(visible(right, -right, "dfnet")[0, :, 0], visible(right, right, "geonet")[0, :, 0])
        [ True  True  True  True] [False False False False]
    """
    forth, back = jax.lax.stop_gradient((forth, back))
    back, _ = geometry.flow_warp(back, forth)
    off, size = _square(forth + back), _square(forth)
    if rule == "dfnet":
        return off <= 0.01 * (size + _square(back)) + 0.5
    return off < jnp.maximum(9.0, 0.05**2 * size)


def _square(flow: jax.Array) -> Any:
    return jnp.sum(flow**2, axis=-1, keepdims=True)
