"""Four tasks on one small ResNet: segmentation, depth, normals and edges of the procedural data set scenes/tiny.

python launch.py --config configs/quickstart.py
"""

from mtljax.train import default_config


def get_config():
    config = default_config()
    config.data = "scenes('tiny')"
    config.model = "MultiTask(encoder=ResNet(depth=10, width=16, norm='group', stem='patch2'))"
    config.tasks = {
        "segment": "segment(num_classes=5, head=Dense(5, width=32))",
        "depth": "depth()",
        "normals": "normals()",
        "edges": "edges()",
    }
    config.balance = "pcgrad()"
    adam = "adamw(warmup_cosine_decay_schedule(0.0, 3e-3, steps // 10, steps))"
    config.optimizers = {"shared": adam, "segment": adam, "depth": adam, "normals": adam, "edges": adam}
    config.batch_size = 16
    config.steps = 300
    config.eval_every = 300
    config.checkpoint_every = 100
    return config
