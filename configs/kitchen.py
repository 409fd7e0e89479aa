"""Depth, normals and edges of real RGB-D frames: any folder in the layout of Microsoft's 7-Scenes.

python launch.py --config configs/kitchen.py:PATH_OF_THE_FOLDER

On 800 frames of 160 x 120 of the scene `redkitchen`, under ten minutes on two CPU cores. What to expect on the last
fifth, and of a constant predictor: depth AbsRel 0.17 (0.32), normals 23 degrees (49), edges ODS-F 0.46 (0.22; both from
before labels were thinned as predictions are, another scale: docs/tasks.md).
"""

from mtljax.train import default_config


def get_config(path: str = "data/kitchen"):
    config = default_config()
    config.data = f"rgbd({path!r}, validation=0.2)"
    config.model = "MultiTask(encoder=ResNet(depth=18, width=32, norm='group'))"
    config.tasks = {"depth": "depth(width=32)", "normals": "normals(width=32)", "edges": "edges(width=32)"}
    config.balance = "pcgrad()"
    adam = "adamw(warmup_cosine_decay_schedule(0.0, 1e-3, steps // 10, steps))"
    config.optimizers = {"shared": adam, "depth": adam, "normals": adam, "edges": adam}
    config.batch_size = 8
    config.steps = 600
    config.eval_every = 300
    config.checkpoint_every = 300
    return config
