"""Clips with all labels, and what is done to them."""

import numpy as np

from mtljax.data import augment
from mtljax.data.scenes.dataset import to_example
from mtljax.data.scenes.render import render_clip

SIZE, FRAMES = 48, 3
FLIP, CROP = augment.flip(p=1.0), augment.crop(30, 40)
GEOMETRIC = {
    "flip": FLIP,
    "crop": CROP,
    "zoom in": augment.scale(1.0, 2.0),
    "zoom in, depth kept": augment.scale(1.0, 2.0, depth="kept"),
    "zoom out": augment.scale(0.5, 1.0),
    "protocol": augment.scale(choices=(1.2, 1.5)),
    "resize": augment.resize(36, 60),
    "all": augment.compose(augment.scale(0.7, 1.5), augment.flip(), CROP, augment.flip()),
}
LABELS = ("semantic", "depth", "normal", "edge", "moving", "forward_flow", "backward_flow", "place")


def grid(height, width):
    """The centres of the pixels, (x, y)."""
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1) + 0.5


def made(index):
    """A clip with all labels, `place` (the centre of each pixel) among them, and a hole in each."""
    example = to_example(render_clip(SIZE, FRAMES, 0, "train", index))
    example["place"] = np.broadcast_to(grid(SIZE, SIZE), (FRAMES, SIZE, SIZE, 2)).astype(np.float32)
    example["place_valid"] = np.ones((FRAMES, SIZE, SIZE, 1), bool)
    rng = np.random.default_rng(index)
    for key in LABELS:
        hole = rng.random((FRAMES, SIZE, SIZE, 1)) < 0.1
        example[f"{key}_valid"] &= ~hole
        if key != "place":
            example[key] = np.where(hole, 0, example[key])
    return example


def seen_at(before, after):
    """Where the centre of the pixel that each label was taken from is now: its ray, its place, -1 if it is mirrored."""
    place, seen = after["place"][0].astype(np.float64), after["semantic_valid"].any(axis=0)[..., 0]
    xs = place[..., 0][seen.any(axis=1)][0]
    xs = xs[xs > 0]
    side = np.array([-1, 1, 1]) if xs[0] > xs[-1] else np.ones(3)
    rays = np.append(place, np.ones_like(place[..., :1]), axis=-1) @ np.linalg.inv(before["camera"]["intrinsics"]).T
    rays = rays * side
    shown = rays @ after["camera"]["intrinsics"].astype(np.float64).T
    return rays, shown[..., :2], side[0]
