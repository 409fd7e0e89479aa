"""The promises of multi-task learning, measured: segmentation, depth and normals of scenes/small, alone and together.

python launch.py --config configs/promises.py --mode=compare --methods='single;equal()' --seeds=3 \
    --shares='0.1;0.5;1' --jobs=2 --workdir runs/promises

36 trainings in 28 CPU minutes: half an hour of two busy cores. What to expect is in docs/promises.md.
"""

from mtljax.train import default_config


def get_config():
    config = default_config()
    config.data = "scenes('small')"
    config.model = "MultiTask(encoder=ResNet(depth=10, width=16, norm='group', stem='patch2'))"
    config.tasks = {
        "segment": "segment(num_classes=5, width=32)",
        "depth": "depth(width=32)",
        "normals": "normals(width=32)",
    }
    config.balance = "equal()"
    adam = "adamw(warmup_cosine_decay_schedule(0.0, {peak}, steps // 10, steps))"
    config.optimizers = {task: adam.format(peak=3e-3) for task in config.tasks} | {"shared": adam.format(peak=6e-3)}
    config.parallel = "mesh(data=1)"  # a batch of two is for one device
    config.batch_size = 2
    config.steps = 200
    config.eval_every = 50
    config.checkpoint_every = 200
    return config
