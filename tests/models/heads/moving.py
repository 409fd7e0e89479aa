"""Textures that move, as heads see them, and the labels of how."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

import mtljax as mtl


def texture(rng, size, channels=1):
    """Smooth and random, of mean 0 and variance 1."""
    x = ndimage.gaussian_filter(rng.normal(size=(*size, channels)), (1.5, 1.5, 0), mode="wrap")
    return ((x - x.mean()) / x.std()).astype(np.float32)


def moved(x, shift):
    """What is at p is then at p + shift, (x, y); around the edges."""
    return ndimage.shift(x, (shift[1], shift[0], 0), mode="grid-wrap")


def shifted_pairs(seed, side, clips=16, reach=4.0):
    """Features at strides 4 and 8 of pairs of textures, and labels: one shift for all pixels of a pair."""
    rng = np.random.default_rng(seed)
    shifts = rng.uniform(-reach, reach, (clips, 2)).astype(np.float32)
    first = [texture(rng, (side, side), channels=8) for _ in range(clips)]
    x = np.stack([[x, moved(x, shift)] for x, shift in zip(first, shifts, strict=True)]).astype(np.float32)
    pyramid = [x.reshape(2 * clips, side // k, k, side // k, k, -1).mean(axis=(2, 4)) for k in (4, 8)]
    flow = np.broadcast_to(shifts[:, None, None, None], (clips, 2, side, side, 2))
    has_next = np.broadcast_to(np.array([True, False])[:, None, None, None], (clips, 2, side, side, 1))
    return {"features": tuple(pyramid)}, {"forward_flow": flow, "forward_flow_valid": has_next}


@jax.jit
def seen_before(second, depth, intrinsics, motions):
    """The first of two frames, that a motion leads from to the second."""
    to_second = mtl.geometry.inverse(mtl.geometry.matrix_of(motions))
    pixels, _ = mtl.geometry.seen_from(depth, intrinsics, to_second)
    return mtl.geometry.sample(second, pixels)[0]


def pairs_in_motion(seed, side, clips=8, tall=1.0):
    """Features at strides 2, 4 and 8 of pairs of views of textured reliefs 3 m away, their camera, and labels.

    `tall`: the focal length downwards, in those across.
    """
    rng = np.random.default_rng(seed)
    motions = rng.uniform(-1, 1, (clips, 2, 6)) * np.array([0.2, 0.2, 0.2, 0.05, 0.05, 0.05])
    depth = 1 + ndimage.gaussian_filter(rng.uniform(0, 4, (clips, side, side, 1)), (0, 3, 3, 0))
    intrinsics = np.float32([[side, 0, side / 2], [0, tall * side, side / 2], [0, 0, 1]])
    second = jnp.stack([texture(rng, (side, side), channels=8) for _ in range(clips)])
    first = seen_before(second, depth.astype(np.float32), intrinsics, motions[:, 0].astype(np.float32))
    x = np.stack([first, second], axis=1)
    pyramid = [x.reshape(2 * clips, side // k, k, side // k, k, -1).mean(axis=(2, 4)) for k in (2, 4, 8)]
    has_next = np.broadcast_to(np.array([True, False])[:, None], (clips, 2, 1))
    labels = {"ego_motion": motions.astype(np.float32), "ego_motion_valid": has_next}
    camera = {"intrinsics": np.tile(intrinsics, (clips, 1, 1))}
    return {"features": tuple(pyramid), "camera": camera}, labels | {"depth": np.stack([depth, depth], axis=1)}


def still_world(labels):
    if "forward_flow" in labels:
        return {"EPE": np.linalg.norm(labels["forward_flow"][:, 0, 0, 0], axis=-1).mean()}
    moved, turned = np.split(labels["ego_motion"][:, 0], 2, axis=-1)
    return {
        "RPE_translation": np.linalg.norm(moved, axis=-1).mean(),
        "RPE_rotation": np.degrees(np.linalg.norm(turned, axis=-1)).mean(),
    }
