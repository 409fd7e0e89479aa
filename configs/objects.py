"""Objects: what is there, which pixels are whose, how it lies, which is which and where it will go, on scenes/tracks.

python launch.py --config configs/objects.py
python launch.py --config configs/objects.py --config.balance='pcgrad()' --config.measure=features

Some 18 minutes of two quiet cores (34.5 of the processor). What to expect on validation, and of a trivial predictor on
the same detections (docs/objects.md has all): detect AP50 0.46 (0.01), 0.78 for any class (0.03); instances mask AP
0.31 (0.15), PQ 0.39 (0.30); pose 0.41 m (1.21); track HOTA 0.60 (0.57), 358 switches (474); trajectory ADE 1.09 m
(1.86).

The heads are a hierarchy: detect -> {instances, pose, track}, {track, pose} -> trajectory. Training sees windows of 4
frames, validation whole clips of 12.
"""

from mtljax.train import default_config


def get_config():
    config = default_config()
    config.data = "scenes('tracks')"
    config.augment = "compose(moment(4), flip(), colour(brightness=0.2, contrast=0.2, saturation=0.3, hue=0.5))"
    encoder = "ResNet(depth=10, width=24, norm='batch', stem='patch2')"
    config.model = f"MultiTask(encoder=FPN(encoder={encoder}, width=48, stride=4))"
    config.tasks = {
        "detect": "detect(classes=4, decoupled=True, areas=(100.0, 289.0))",
        "instances": "instances(areas=(100.0, 289.0))",
        "pose": "pose(close=(0.25, 25.0))",
        "track": "track()",
        "trajectory": "trajectory(modes=3)",
    }
    config.balance = "sum()"
    rate = "warmup_cosine_decay_schedule(0.0, 4e-3, steps // 20, steps)"
    adamw = f"chain(clip_by_global_norm(10.0), adamw({rate}, weight_decay=0.05))"
    config.optimizers = {group: adamw for group in ("shared", *config.tasks)}
    config.batch_size = 8
    config.steps = 2700
    config.eval_every = 1350
    config.checkpoint_every = 450
    return config
