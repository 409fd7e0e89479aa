"""A small batch of clips with objects, and networks for it."""

import numpy as np

import mtljax as mtl

SIZE, FRAMES, OBJECTS, CLASSES = 32, 3, 3, 2
PARENTS = {
    "instances": {"boxes": "detect"},
    "pose": {"boxes": "detect"},
    "track": {"boxes": "detect"},
    "trajectory": {"tracks": "track", "poses": "pose"},
}
EDGES = [f"{parent}->{task}" for task, roles in PARENTS.items() for parent in roles.values()]


def heads(width=8):
    """One head for each task."""
    return {
        "detect": mtl.heads.Detect(classes=CLASSES, slots=4, width=width),
        "instances": mtl.heads.Instances(width=width),
        "pose": mtl.heads.Pose(width=width),
        "track": mtl.heads.Track(width=width),
        "trajectory": mtl.heads.Trajectory(modes=2, steps=3, history=2, width=width),
    }


def encoder():
    """Images of 32 x 32 to one map of 8 x 8 cells."""
    return mtl.encoders.FPN(mtl.encoders.UNet(width=4, levels=2, norm="none"), width=8)


def network(way=mtl.MultiTask, **options):
    """A model of all five tasks."""
    return way(encoder=encoder(), heads=heads(), **{"parents": PARENTS} | options)


def batch(clips=2, seed=0):
    """Clips of 3 frames with up to 3 objects that move: two boxes that count, and one that is not there."""
    rng = np.random.default_rng(seed)
    shape = (clips, OBJECTS, FRAMES)
    low = rng.integers(1, 10, (clips, OBJECTS, 1, 2)) + 2 * np.arange(FRAMES)[:, None]
    sides = rng.integers(5, 12, (clips, OBJECTS, 1, 2))
    high = low + sides
    ids = np.zeros((clips, FRAMES, SIZE, SIZE, 1), np.uint8)
    for b, m, t in np.ndindex(clips, 2, FRAMES):
        (y0, x0), (y1, x1) = low[b, m, t], high[b, m, t]
        ids[b, t, y0:y1, x0:x1] = m + 1
    quaternions = rng.normal(size=(*shape, 4))
    camera = {
        "positions": rng.normal(size=(clips, FRAMES, 3)) * 0.1,
        "quaternions": np.array([1, 0, 0, 0]) + 0.05 * rng.normal(size=(clips, FRAMES, 4)),
        "intrinsics": np.tile(np.array([[30.0, 0, 16], [0, 30, 16], [0, 0, 1]]), (clips, 1, 1)),
    }
    instances = {
        "bboxes": np.concatenate([low, high], axis=-1) / SIZE,
        "positions": rng.normal(size=(*shape, 3)) + np.array([0, 0, 5]),
        "quaternions": quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True),
        "scale": rng.uniform(0.3, 0.6, (clips, OBJECTS, 3)),
    }
    floats = {key: x.astype(np.float32) for key, x in instances.items()}
    return {
        "image": rng.random((clips, FRAMES, SIZE, SIZE, 3), np.float32),
        "instances": floats | {"category": rng.integers(1, CLASSES + 1, (clips, OBJECTS), np.int32)},
        "instances_valid": np.tile([True, True, False], (clips, 1)),
        "objects_valid": np.ones((clips, FRAMES), bool),
        "segmentations": ids,
        "camera": {key: x.astype(np.float32) for key, x in camera.items()},
        "future": rng.normal(size=(clips, OBJECTS, 4, 2)).astype(np.float32),
        "future_valid": np.tile(np.array([True, True, False])[:, None, None], (clips, 1, 4, 1)),
    }
