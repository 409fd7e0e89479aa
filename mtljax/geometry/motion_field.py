"""Small motions of a camera and the flow that they make, which is linear in them.

Longuet-Higgins and Prazdny, The Interpretation of a Moving Retinal Image, 1980. Places and flow are in the plane at
depth 1: (x - cx) / fx, (y - cy) / fy. Motions are those of `mtljax.geometry.poses`: of x_t = R x_{t+1} + t.
"""

import jax
import jax.numpy as jnp

_EXACT = jax.lax.Precision.HIGHEST


def motion_field(places: jax.Array, inverse_depth: jax.Array) -> jax.Array:
    """The matrices that take a motion to the flow at each place, to first order.

    Args:
        places: (..., N, 2) in the plane at depth 1.
        inverse_depth: (..., N), 1/m.

    Returns:
        (..., N, 2, 6): times (translation in metres, axis-angle in radians) they are the flow to the next frame.

    Example:
        >>> import jax.numpy as jnp
        >>> field = motion_field(jnp.zeros((1, 2)), jnp.array([0.5]))
        >>> print(field[0] @ jnp.array([-0.2, 0.0, 0.0, 0.0, 0.0, 0.0]))  # the camera goes left, the world right
        [0.1 0. ]
    """
    x, y, inverse_depth = jnp.broadcast_arrays(places[..., 0], places[..., 1], inverse_depth)
    one, zero = jnp.ones_like(x), jnp.zeros_like(x)
    across = jnp.stack([-one, zero, x], axis=-1) * inverse_depth[..., None], [x * y, -(1 + x**2), y]
    down = jnp.stack([zero, -one, y], axis=-1) * inverse_depth[..., None], [1 + y**2, -x * y, -x]
    rows = [jnp.concatenate([moved, jnp.stack(turned, axis=-1)], axis=-1) for moved, turned in (across, down)]
    return jnp.stack(rows, axis=-2)


def motion_from_flow(
    flow: jax.Array,
    places: jax.Array,
    inverse_depth: jax.Array,
    weight: jax.Array,
    damping: jax.Array | float = 0.0,
    tolerance: jax.Array | float | None = None,
) -> jax.Array:
    """The motion whose flow is nearest to the given one: weighted least squares, and differentiable.

    Args:
        flow: (..., N, 2) in the plane at depth 1.
        places: (..., N, 2), likewise.
        inverse_depth: (..., N), 1/m.
        weight: (..., N), 0 or above, some of them above 0: how much a place is trusted.
        damping: added to the diagonal of the system, relative to the sum of the weights: one number or (..., 6). What
            the flow does not tell becomes 0.
        tolerance: a distance between flows. The system is then solved three times, and places count for the less the
            farther they were off the last solution, 1 / (1 + (distance / tolerance)^2) (Cauchy's weights).

    Returns:
        (..., 6) float32: translation in metres, axis-angle in radians.

    Example:
        >>> import jax.numpy as jnp
        >>> places = jnp.array([[-0.5, -0.5], [0.5, -0.5], [0.0, 0.2], [0.3, 0.4]])
        >>> inverse_depth = jnp.array([1.0, 0.5, 0.8, 0.1])
        >>> motion = jnp.array([0.1, -0.2, 0.3, 0.01, 0.02, -0.03])
        >>> flow = jnp.einsum("npk,k->np", motion_field(places, inverse_depth), motion)
        >>> print(motion_from_flow(flow, places, inverse_depth, jnp.ones(4)).round(3))
        [ 0.1  -0.2   0.3   0.01  0.02 -0.03]
    """
    field = motion_field(places.astype(jnp.float32), inverse_depth.astype(jnp.float32))
    flow, weight = flow.astype(jnp.float32), weight.astype(jnp.float32)

    def solved(trust: jax.Array) -> jax.Array:
        share = trust / jnp.sum(trust, axis=-1, keepdims=True)
        tensor = share[..., None, None] * jnp.eye(2)
        return motion_from_tensors(field, tensor, share[..., None] * flow, damping)

    motion = solved(weight)
    if tolerance is not None:
        for _ in range(2):
            off = jnp.einsum("...npi,...i->...np", field, motion, precision=_EXACT) - flow
            motion = solved(weight / (1 + jax.lax.stop_gradient(jnp.sum(off**2, axis=-1)) / tolerance**2))
    return motion


def motion_from_tensors(
    field: jax.Array, tensor: jax.Array, moment: jax.Array, damping: jax.Array | float = 0.0
) -> jax.Array:
    """The motion m with the least sum over places of f . S f - 2 f . b, where f = field m is its flow.

    With structure tensors S, it is what minimises differences between images to first order (Horn and Weldon, Direct
    methods for recovering motion, 1988).

    Args:
        field: (..., N, 2, 6).
        tensor: S, (..., N, 2, 2), symmetric and of no negative eigenvalue.
        moment: b, (..., N, 2).
        damping: added to the system's diagonal, one number or (..., 6).

    Returns:
        (..., 6) float32: translation in metres, axis-angle in radians.

    Example:
        >>> import jax.numpy as jnp
        >>> field = motion_field(jnp.array([[-0.5, 0.5], [0.5, 0.5], [0.1, 0.2]]), jnp.array([1.0, 0.5, 0.8]))
        >>> motion = jnp.array([0.1, -0.2, 0.3, 0.01, 0.02, -0.03])
        >>> tensor = jnp.broadcast_to(jnp.array([[2.0, 1.0], [1.0, 2.0]]), (3, 2, 2))
        >>> moment = jnp.einsum("npq,nqk,k->np", tensor, field, motion)
        >>> print(motion_from_tensors(field, tensor, moment).round(3))
        [ 0.1  -0.2   0.3   0.01  0.02 -0.03]
    """
    diagonal = jnp.asarray(damping, jnp.float32)[..., None] * jnp.eye(6)
    weighted = jnp.einsum("...npq,...nqj->...npj", tensor, field, precision=_EXACT)
    system = jnp.einsum("...npi,...npj->...ij", field, weighted, precision=_EXACT)
    seen = jnp.einsum("...npi,...np->...i", field, moment, precision=_EXACT)
    return jnp.linalg.solve(system + diagonal, seen[..., None])[..., 0]
