"""Scenes held consistent: depth, normals and edges by geometry; with motion; or normals by learned networks.

python launch.py --config configs/consistent.py
python launch.py --config configs/consistent.py:motion
python launch.py --config configs/label_network.py:normal --workdir runs/from_normals
python launch.py --config configs/consistent.py:runs/from_normals

The second form adds flow, ego-motion and their relation to depth; most of what it takes to compile is their heads. The
last looks at predicted normals through the networks from normals to depth and to edges that the command before it
trains (docs/consistency.md).
"""

from mtljax.train import default_config


def get_config(form: str = ""):
    config = default_config()
    config.data = "scenes('small')"
    config.model = "MultiTask(encoder=ResNet(depth=10, width=16, norm='group', stem='patch2'))"
    adam = "chain(clip_by_global_norm(1.0), adamw(warmup_cosine_decay_schedule(0.0, 3e-3, steps // 10, steps)))"
    if form not in ("", "motion"):
        config.tasks = {
            "normals": "normals(width=32)",
            "seen": f"cross_task(target='normals', through={{'depth': {form!r}, 'edges': {form!r}}})",
        }
        config.balance = "xtc(direct='normals')"
        config.batch_size, config.steps = 4, 300
    else:
        tasks = {"depth": "depth(width=32)", "normals": "normals(width=32)", "edges": "edges(width=32)"}
        if form == "motion":
            tasks |= {"flow": "flow()", "ego_motion": "ego_motion(depth='depth')"}
        tied = ", ".join(f"{task}={task!r}" for task in tasks)
        config.tasks = tasks | {"consistent": f"consistent({tied})"}
        config.balance = "equal()"
        config.batch_size, config.steps = 8, 800
    ties = ("consistent", "seen")  # which have no parameters
    config.optimizers = {"shared": adam} | {task: adam for task in config.tasks if task not in ties}
    config.parallel = "mesh(data=1)" if config.batch_size < 8 else "mesh(data=-1)"  # a batch so small is not divided
    config.eval_every = config.checkpoint_every = config.steps
    return config
