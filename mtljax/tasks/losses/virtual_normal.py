"""The loss of virtual normals on depth maps: directions of planes through three pixels each."""

import zlib
from typing import Any

import jax
import jax.numpy as jnp

_TRIPLES = 0.15  # a pixel
_STREAM = zlib.crc32(b"virtual_normal") >> 1  # of random numbers; a key takes 31 bits


def virtual_normal(p: jax.Array, g: jax.Array, valid: jax.Array, seen: Any) -> tuple[jax.Array, jax.Array]:
    """Directions of virtual planes through three pixels (Yin et al. 2019, as their code does it).

    0.15 HW triples are drawn with replacement, from a key made of the depths themselves and of the number of the step,
    so that the loss is a pure function of the batch: in training they are others at each step, in evaluation always
    the same. By the ground truth a triple is dropped where it is nearly collinear, where its points lie
    too close in each axis, or where a depth is missing. Of the rest the lowest quarter is left out.

    `seen` is the intrinsics (B, 3, 3) and the step (B,), 0 in evaluation.
    """
    intrinsics, step = seen
    height, width = p.shape[-3:-1]
    count = max(4, int(_TRIPLES * height * width))
    flat = [x.reshape(-1, height * width) for x in (p, g, valid)]
    frames = p.size // (intrinsics.shape[0] * height * width)
    clips = (jnp.repeat(x, frames, axis=0) for x in (intrinsics, step))
    values, has_any = jax.vmap(lambda *image: _virtual_normal(*image, width=width, count=count))(*flat, *clips)
    return values.reshape(p.shape[:-3]), has_any.reshape(p.shape[:-3])


def _virtual_normal(
    p: jax.Array, g: jax.Array, valid: jax.Array, intrinsics: jax.Array, step: jax.Array, *, width: int, count: int
) -> tuple[jax.Array, jax.Array]:
    # Integers add up the same in any order, on any number of devices.
    bits = jnp.sum(jax.lax.bitcast_convert_type(g, jnp.uint32), dtype=jnp.uint32)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(_STREAM), bits), step)
    chosen = jax.random.randint(key, (count, 3), 0, p.shape[0])
    true = _points(g[chosen], chosen, intrinsics, width)
    predicted = _points(jnp.maximum(p[chosen], 1e-4), chosen, intrinsics, width)
    usable = jnp.all(valid[chosen], axis=1) & _spread_out(true)
    difference = jnp.sum(jnp.abs(_normal(predicted, usable) - _normal(true, usable)), axis=1)
    number = jnp.sum(usable)
    order = jnp.argsort(jnp.where(usable, jax.lax.stop_gradient(difference), jnp.inf))
    rank = jnp.zeros(count, jnp.int32).at[order].set(jnp.arange(count, dtype=jnp.int32))
    kept = usable & (rank >= number // 4)
    mean = jnp.sum(jnp.where(kept, difference, 0.0)) / jnp.maximum(jnp.sum(kept), 1)
    # Of pixels that were not drawn too, a depth that is no number is told.
    told = jnp.where(jnp.all(jnp.isfinite(p) | ~valid), mean, jnp.nan)
    return told, (number > 0).astype(jnp.float32)


def _points(z: jax.Array, pixels: jax.Array, intrinsics: jax.Array, width: int) -> jax.Array:
    """Back-projects (N, 3) pixels: (N, 3 points, xyz)."""
    u, v = pixels % width + 0.5, pixels // width + 0.5
    x = (u - intrinsics[0, 2]) * z / intrinsics[0, 0]
    y = (v - intrinsics[1, 2]) * z / intrinsics[1, 1]
    return jnp.stack([x, y, z], axis=-1)


def _sides(points: jax.Array) -> jax.Array:
    """The three sides of each triangle, (N, 3 sides, xyz)."""
    return points[:, jnp.array([1, 2, 2])] - points[:, jnp.array([0, 0, 1])]


def _spread_out(points: jax.Array) -> jax.Array:
    sides = _sides(points)
    length = jnp.linalg.norm(sides, axis=-1)
    products = jnp.einsum("nik,njk->nij", sides, sides)
    cosines = jnp.abs(products) / (length[:, :, None] * length[:, None] + 1e-8)
    collinear = jnp.sum(cosines > 0.867, axis=(1, 2)) > 3
    near = jnp.all(jnp.any(jnp.abs(sides) < 0.005, axis=1), axis=1)
    return ~collinear & ~near & jnp.all(points[..., 2] > 1e-4, axis=1)


def _normal(points: jax.Array, usable: jax.Array) -> jax.Array:
    sides = _sides(points)
    normal = jnp.where(usable[:, None], jnp.cross(sides[:, 0], sides[:, 1]), jnp.array([0.0, 0.0, 1.0]))
    square = jnp.sum(normal**2, axis=-1, keepdims=True)
    return normal * jax.lax.rsqrt(jnp.maximum(square, 1e-20))
