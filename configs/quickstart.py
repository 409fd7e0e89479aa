"""Four tasks on one small ResNet: segmentation, depth, normals and edges of the procedural data set scenes/tiny.

python launch.py --config configs/quickstart.py

About two minutes on two CPU cores, of which the data takes twenty seconds, once. What to expect on validation, and of
a constant predictor: segment mIoU 0.27 (0.15), depth AbsRel 0.15 (0.51), normals 22 degrees (46), edges ODS-F 0.40
(0.00).
"""

from mtljax.train import default_config


def get_config():
    config = default_config()
    config.data = "scenes('tiny')"
    config.model = "MultiTask(encoder=ResNet(depth=10, width=16, norm='group', stem='patch2'))"
    config.tasks = {
        "segment": "segment(num_classes=5, width=32)",
        "depth": "depth(width=32)",
        "normals": "normals(width=32)",
        "edges": "edges(width=32)",
    }
    config.balance = "pcgrad()"
    adam = "adamw(warmup_cosine_decay_schedule(0.0, {peak}, steps // 10, steps))"
    config.optimizers = {task: adam.format(peak=3e-3) for task in config.tasks} | {"shared": adam.format(peak=6e-3)}
    config.batch_size = 8
    config.steps = 500
    config.eval_every = 500
    config.checkpoint_every = 250
    return config
