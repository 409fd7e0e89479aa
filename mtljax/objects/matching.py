"""Which true object a box shows, if any."""

import jax
import jax.numpy as jnp

from mtljax.objects.frames import Objects

OVERLAP = 0.5  # least IoU


def overlaps(a: jax.Array, b: jax.Array) -> jax.Array:
    """The IoU of boxes (..., K, 4) and (..., M, 4), [x0, y0, x1, y1]: (..., K, M); 0 for empty ones.

    Example:
        >>> print(overlaps(jnp.array([[0.0, 0.0, 2.0, 2.0]]), jnp.array([[0.0, 0.0, 2.0, 1.0], [3.0, 0.0, 4.0, 1.0]])))
        [[0.5 0. ]]
    """
    a, b = a[..., :, None, :], b[..., None, :, :]
    sides = jnp.minimum(a[..., 2:], b[..., 2:]) - jnp.maximum(a[..., :2], b[..., :2])
    both = jnp.prod(jnp.maximum(sides, 0.0), axis=-1)
    areas = [jnp.prod(jnp.maximum(x[..., 2:] - x[..., :2], 0.0), axis=-1) for x in (a, b)]
    either = areas[0] + areas[1] - both
    return both / jnp.where(either > 0, either, 1.0)


def best(boxes: jax.Array, objects: Objects, stride: int) -> tuple[jax.Array, jax.Array]:
    """The object that counts with which each box has the largest IoU.

    Args:
        boxes: (B, s, K, 4), in pixels.
        objects: of the same frames.
        stride: pixels of a cell's side.

    Returns:
        Its place among the objects, (B, s, K) int32, and whether the IoU is at least 0.5, (B, s, K) bool. Several boxes
        may have the same object.
    """
    iou = jnp.where(objects.counts[..., None, :], overlaps(boxes / stride, objects.boxes), 0.0)
    return jnp.argmax(iou, axis=-1).astype(jnp.int32), jnp.max(iou, axis=-1) >= OVERLAP
