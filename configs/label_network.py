"""A network from one label of scenes to others, through which predictions can be looked at (configs/consistent.py).

python launch.py --config configs/label_network.py:normal --workdir runs/from_normals   # to depth and edges
python launch.py --config configs/label_network.py:depth --workdir runs/from_depth      # to normals
python launch.py --config configs/label_network.py:edge --workdir runs/from_edges       # to normals

The first takes 2.5 minutes on one core; on validation depth AbsRel is 0.16, edges ODS-F 0.59.
"""

from mtljax.train import default_config


def get_config(label: str = "normal"):
    config = default_config()
    config.data = "scenes('small')"
    config.input = label
    config.model = "MultiTask(encoder=ResNet(depth=10, width=16, norm='group', stem='patch2'))"
    targets = ["depth", "edges"] if label == "normal" else ["normals"]
    config.tasks = {task: f"{task}(width=32)" for task in targets}
    adam = "chain(clip_by_global_norm(1.0), adamw(warmup_cosine_decay_schedule(0.0, 3e-3, steps // 10, steps)))"
    config.optimizers = dict.fromkeys(["shared", *targets], adam)
    config.batch_size, config.steps = 4, 300
    config.parallel = "mesh(data=1)"  # a batch so small is not divided
    config.eval_every = config.checkpoint_every = config.steps
    return config
