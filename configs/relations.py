"""Which of segmentation, depth, normals and edges help which, on scenes/tiny: as transfer, as networks, in one run.

python launch.py --config configs/relations.py --mode=relate --seeds=1 --workdir runs/relations \
    --relations='transfer(order=2);networks();lookahead()' --budgets='1;1.5;2;3'

52 trainings of a seed in half an hour of one busy core, most of it compiling, which other seeds need not. What to
expect is in docs/relations.md.
"""

from mtljax.train import default_config


def get_config():
    config = default_config()
    config.data = "scenes('tiny')"
    config.model = "MultiTask(encoder=ResNet(depth=10, width=16, norm='group', stem='patch2'))"
    config.tasks = {
        "segment": "segment(num_classes=5, width=16)",
        "depth": "depth(width=16)",
        "normals": "normals(width=16)",
        "edges": "edges(width=16)",
    }
    config.balance = "equal()"
    adam = "adamw(warmup_cosine_decay_schedule(0.0, {peak}, steps // 10, steps))"
    config.optimizers = {task: adam.format(peak=3e-3) for task in config.tasks} | {"shared": adam.format(peak=6e-3)}
    config.parallel = "mesh(data=1)"  # trainings are small: other devices are for others of them
    config.batch_size = 4
    config.steps = 200
    config.eval_every = 200
    config.checkpoint_every = 200
    config.panel_images = 0
    return config
