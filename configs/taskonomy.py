"""Taskonomy: classes, depth, normals and edges of rooms, at 256 x 256.

python launch.py --config configs/taskonomy.py:FOLDER

FOLDER holds rgb, depth_zbuffer, normal, edge_texture and segment_semantic, of one building or of many (docs/data.md).
Classes are those that a network found, and few pixels have one but the background.

For one GPU with 16 GB or more. No figures yet.
"""

from mtljax.train import default_config


def get_config(path: str = "data/taskonomy"):
    config = default_config()
    config.data = f"taskonomy({path!r}, validation=0.2, size=(256, 256))"
    config.model = "MultiTask(encoder=ResNet(depth=50, norm='batch'))"
    config.tasks = {
        "segment": "segment(num_classes=17, width=128)",
        "depth": "depth(width=128)",
        "normals": "normals(width=128)",
        "edges": "edges(width=128)",
    }
    config.balance = "pcgrad()"
    config.measure = "features"
    adam = "adamw(warmup_cosine_decay_schedule(0.0, 3e-4, steps // 20, steps), weight_decay=1e-4)"
    config.optimizers = {"shared": adam} | {name: adam for name in config.tasks}
    config.batch_size = 32
    config.steps = 50_000
    config.eval_every = 5_000
    config.checkpoint_every = 5_000
    config.loader_threads = 8
    return config
