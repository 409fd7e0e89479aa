"""Depth and ego-motion from video alone, without a label: Monodepth2's photometric error ties them together.

python launch.py --config configs/self_supervised.py                          # clips of scenes/small
python launch.py --config configs/self_supervised.py:PATH_OF_A_FOLDER         # frames in the layout of 7-Scenes

Labels are read for metrics alone. Nothing tells the scale: each image's depth is scaled to its truth's median, and
paths are aligned by Sim(3). What is known beforehand is that the farthest is at most six times as far as the nearest
(`near`, `far`). Motions are solved for the predicted depth (`depth='depth'`), which the photometric error trains;
frames are compared smoothed and without auto-masking, for they differ by a few pixels (docs/self_supervised.md).

About ten minutes on one CPU core. What to expect on validation, and of a constant depth and a still camera, scaled and
aligned alike: depth AbsRel 0.18 (0.45), ATE 0.017 m (0.156) on scenes/small; 0.20 (0.27) and 0.039 m (0.180) on the
800 frames of redkitchen in 160 x 120. `near` and `far` were chosen on these; a range that is too wide spoils depth.
"""

from mtljax.train import default_config

ROOM = "rgbd({path!r}, frames=3, stride=1, every=8, offsets=8)"  # far enough apart to see depth, and every frame used


def get_config(path: str = ""):
    config = default_config()
    config.data = f"mix({{'room': {ROOM.format(path=path)}}}, size=(60, 80))" if path else "scenes('small')"
    config.augment = "compose(flip(), colour(0.2, 0.2, 0.2))" if path else ""
    config.model = "MultiTask(encoder=ResNet(depth=10, width=32, norm='group', stem='patch2'))"
    config.tasks = {
        "depth": "depth(loss='none', median_scaling=True, head=InverseDepth(scales=3, near=1.0, far=6.0, width=32))",
        "odometry": "odometry(loss='none', up_to_scale=True, depth='depth', width=32)",
        "self_supervised": "self_supervised(ego_motion='odometry', auto_mask=False, blur=1)",
    }
    config.balance = "equal()"
    adam = "chain(clip_by_global_norm(1.0), adamw(warmup_cosine_decay_schedule(0.0, 1e-3, steps // 10, steps)))"
    config.optimizers = {"shared": adam, "depth": adam, "odometry": adam}  # self_supervised has no parameters
    config.batch_size = 4
    config.parallel = "mesh(data=1)"  # a batch so small is not divided
    config.steps = 800
    config.eval_every = 200
    config.checkpoint_every = 200
    return config
