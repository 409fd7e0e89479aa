"""MOVi-E of Kubric: clips of scanned objects that fall, under a moving camera, with labels for every task of a scene.

python launch.py --config configs/movi.py:DATA_DIR

DATA_DIR, which may be left out, is where TensorFlow Datasets has movi_e/128x128, in its format array_record
(docs/data.md). The labels are those of scenes: a config for one reads the other by another name. MOVi-A has 4 classes,
MOVi-B 12, the others 18. Each video is cut into six clips of 4 frames.

For one GPU with 16 GB or more. No figures yet.
"""

from mtljax.train import default_config


def get_config(data_dir: str = ""):
    config = default_config()
    config.data = f"movi('movi_e/128x128', data_dir={data_dir or None!r}, frames=4)"
    config.model = "MultiTask(encoder=ResNet(depth=18, norm='group', stem='patch2'))"
    config.tasks = {
        "segment": "segment(num_classes=18)",
        "depth": "depth()",
        "normals": "normals()",
        "edges": "edges()",
        "flow": "flow()",
        "ego_motion": "ego_motion(depth='depth')",
    }
    config.balance = "pcgrad()"
    config.measure = "features"
    adam = "adamw(warmup_cosine_decay_schedule(0.0, 6e-4, steps // 20, steps))"
    config.optimizers = {"shared": adam} | {name: adam for name in config.tasks}
    config.batch_size = 8
    config.steps = 50_000
    config.eval_every = 5_000
    config.checkpoint_every = 5_000
    config.loader_threads = 8
    return config
