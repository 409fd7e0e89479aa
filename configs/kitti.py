"""KITTI odometry: the motion of a car's camera from frame to frame, and the paths that it makes.

python launch.py --config configs/kitti.py:FOLDER

FOLDER holds sequences and poses (docs/data.md). Trained on 00 to 08, judged on 09 and 10, at 192 x 640, as SfMLearner's
successors are. Clips of 3 frames share their last frame with the next clip, so that motions chain to whole sequences.

For one GPU with 16 GB or more. No figures yet.
"""

from mtljax.train import default_config


def get_config(path: str = "data/kitti"):
    config = default_config()
    config.data = f"kitti_odometry({path!r}, frames=3, stride=2, size=(192, 640))"
    config.model = "MultiTask(encoder=ResNet(depth=18, norm='batch'))"
    head = "head=EgoMotion(typical_depth=15.0)"  # metres, in a street
    config.tasks = {"ego_motion": f"ego_motion({head})", "odometry": f"odometry({head})"}
    config.balance = "equal()"
    adam = "adam(piecewise_constant_schedule(1e-4, {steps * 3 // 4: 0.1}))"
    config.optimizers = {"shared": adam} | {name: adam for name in config.tasks}
    config.batch_size = 8
    config.steps = 25_000
    config.eval_every = 2_500
    config.checkpoint_every = 2_500
    config.loader_threads = 8
    return config
