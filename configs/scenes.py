"""All of scene perception at once: segmentation, depth, normals, edges, flow and ego-motion, on clips of scenes/small.

python launch.py --config configs/scenes.py
python launch.py --config configs/scenes.py --config.balance='cagrad(c=0.4)'

Within 20 minutes on two CPU cores. What to expect on validation, and of a constant predictor, no flow and a still
camera: segment mIoU 0.28 (0.14), depth AbsRel 0.13 (0.48), normals 19 degrees (46), edges ODS-F 0.59 (0.23), flow EPE
0.81 pixels (1.59), ego-motion RPE 0.030 m (0.113) and 0.22 degrees (1.46). The edges' figure is from before labels
were thinned as predictions are, another scale (docs/tasks.md). docs/scenes.png is its panel.
"""

from mtljax.train import default_config


def get_config():
    config = default_config()
    config.data = "scenes('small')"
    config.model = "MultiTask(encoder=ResNet(depth=10, width=24, norm='group', stem='patch2'))"
    config.tasks = {
        "segment": "segment(num_classes=5, width=32)",
        "depth": "depth(width=32)",
        "normals": "normals(width=32)",
        "edges": "edges(width=32)",
        "flow": "flow()",
        "ego_motion": "odometry(depth='depth')",
    }
    config.balance = "pcgrad()"
    config.measure = "features"
    adam = "chain(clip_by_global_norm(1.0), adamw(warmup_cosine_decay_schedule(0.0, {peak}, steps // 10, steps)))"
    config.optimizers = {task: adam.format(peak=3e-3) for task in config.tasks} | {"shared": adam.format(peak=6e-3)}
    config.batch_size = 8
    config.steps = 800
    config.eval_every = 400
    config.checkpoint_every = 400
    return config
