"""Depth and ego-motion from video alone, without a label: Monodepth2's photometric error ties them together.

python launch.py --config configs/self_supervised.py                          # clips of scenes/small
python launch.py --config configs/self_supervised.py:PATH_OF_A_FOLDER         # frames in the layout of 7-Scenes

Labels are read for metrics alone. Depth has no scale, so each image's is scaled to its truth's median, and paths are
aligned by Sim(3). Frames of both differ by a pixel or two, where noise and unwarped sources say more than the motion
does, and a world looks like its reversal: hence `blur`, `auto_mask` and `ground` (docs/self_supervised.md). The ground
alone, before any training, has a median-scaled AbsRel of 0.28 on scenes/small, a constant 0.45.
"""

from mtljax.train import default_config


def get_config(path: str = ""):
    config = default_config()
    config.data = f"rgbd({path!r}, frames=3, stride=2, every=2)" if path else "scenes('small')"
    config.model = "MultiTask(encoder=ResNet(depth=10, width=32, norm='group', stem='patch2'))"
    config.tasks = {
        "depth": "depth(loss='none', median_scaling=True, head=InverseDepth(scales=3, ground=1.0, width=32))",
        "odometry": "odometry(loss='none', up_to_scale=True, head=EgoMotion(width=32))",
        "self_supervised": "self_supervised(ego_motion='odometry', auto_mask=False, blur=1)",
    }
    config.balance = "equal()"
    adam = "adamw(warmup_cosine_decay_schedule(0.0, 1e-3, steps // 10, steps))"
    config.optimizers = {"shared": adam, "depth": adam, "odometry": adam}  # self_supervised has no parameters
    config.batch_size = 4 if path else 8
    config.steps = 2000
    config.eval_every = 500
    config.checkpoint_every = 500
    return config
