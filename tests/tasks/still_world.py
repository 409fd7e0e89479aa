"""Clips of a wall that a camera goes along by whole pixels, so that every label is exact, without resampling."""

import functools

import jax
import numpy as np

import mtljax as mtl

B, S, H, W = 2, 3, 20, 28
DEPTH, FOCAL, STEP = 2.0, 16.0, 2  # a step of 2 pixels a frame
PATCH = (slice(6, 15), slice(10, 19))  # of the first frame: what moves by itself
PATCH_STEP = 1  # its pixels a frame
NOTHING = 2e-3  # of a loss: noise that breaks ties, and the pixels whose 3 x 3 neighbours are partly out of sight
WRONG = 7e-3
K = np.array([[FOCAL, 0, W / 2], [0, FOCAL, H / 2], [0, 0, 1]], np.float32)


def wall(seed, height=H, width=W + 40):
    """A smooth picture, (height, width, 3) in [0, 1]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = sum(
        np.sin(
            rng.uniform(0.3, 0.7, 3) * x[..., None] + rng.uniform(-0.7, 0.7, 3) * y[..., None] + rng.uniform(0, 6, 3)
        )
        for _ in range(4)
    )
    return (0.5 + 0.12 * waves).astype(np.float32)


def in_patch():
    """(s, H, W, 1) bool: where the patch is."""
    inside = np.zeros((S, H, W, 1), bool)
    for t in range(S):
        inside[t, PATCH[0], PATCH[1].start + PATCH_STEP * t : PATCH[1].stop + PATCH_STEP * t] = True
    return inside


def batch(patch=False):
    """Images and camera; `patch` puts something before the wall that moves by itself."""
    images = []
    for b in range(B):
        clip = np.stack([wall(b)[:, 10 + STEP * t : 10 + STEP * t + W] for t in range(S)])
        if patch:
            clip[in_patch()[..., 0]] = np.tile(wall(7 + b)[PATCH].reshape(-1, 3), (S, 1))
        images.append(clip)
    camera = {"intrinsics": np.stack([K] * B)}
    return {"image": np.stack(images), "camera": camera}


def truth():
    """Depth at two scales and the camera's motion to the right; and what goes with add-ons, all of it right."""
    motion = np.zeros((B, S, 6), np.float32)
    motion[..., 0] = STEP * DEPTH / FOCAL
    maps = {"static": 30.0, "edges": -20.0}
    return {
        "depth": np.full((B, S, H, W, 2), DEPTH, np.float32),
        "ego_motion": motion,
        "normals": np.broadcast_to(np.float32([0, 0, -1]), (B, S, H, W, 3)),
        "segment": np.broadcast_to(np.float32([1, 0]), (B, S, H, W, 2)),
        **{key: np.full((B, S, H, W, 1), value, np.float32) for key, value in maps.items()},
        **flows(),
    }


def flows(patch=False):
    """Exact flow to the next frame and to the one before."""
    flow = np.zeros((B, S, H, W, 2), np.float32)
    flow[..., 0] = -STEP
    if patch:
        flow[:, in_patch()[..., 0]] = [PATCH_STEP, 0]
    return {"flow": flow, "backward_flow": -flow}


TRUTH, BATCH = truth(), batch()


def moved(by, at=slice(None)):
    """The truth, but for something more in the motion."""
    motion = TRUTH["ego_motion"].copy()
    motion[:, at] += np.asarray(by, np.float32)
    return TRUTH | {"ego_motion": motion}


@functools.cache
def task(**arguments):
    """The task, without smoothness unless it is asked for."""
    return mtl.tasks.self_supervised(**{"smoothness": 0.0, **arguments})


@functools.cache
def differentiated(**arguments):
    def loss(prediction, batch):
        total, count = task(**arguments).loss(prediction, batch)
        return total / count

    return jax.jit(jax.value_and_grad(loss))


@functools.cache
def summed(**arguments):
    return jax.jit(task(**arguments).sums)


def measured(prediction, batch=BATCH, **arguments):
    """The loss and its gradient, in NumPy; all finite."""
    loss, gradient = jax.tree.map(np.asarray, differentiated(**arguments)(prediction, batch))
    assert np.isfinite(loss)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    return float(loss), gradient


def figures(prediction, batch=BATCH, **arguments):
    """The metrics."""
    sums = jax.tree.map(np.asarray, summed(**arguments)(prediction, batch))
    assert sums["frames"] == B * S
    return {metric.name: metric.value(sums) for metric in task(**arguments).metrics}
