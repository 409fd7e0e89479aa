"""Folders of runs as training leaves them, made of numbers, for reports to read."""

import json

import numpy as np

METRICS = {
    "depth": ("AbsRel", {"AbsRel": False, "delta1": True}),
    "normals": ("mean_angle", {"mean_angle": False}),
    "segment": ("mIoU", {"mIoU": True, "pixel_accuracy": True}),
}
LEVELS = {
    "depth/AbsRel": 0.2, "depth/delta1": 0.7, "normals/mean_angle": 25.0, "segment/mIoU": 0.4,
    "segment/pixel_accuracy": 0.8,
}  # fmt: skip
RECORDED = {
    "devices": {"kind": "cpu", "number": 1},
    "versions": {"mtljax": "0.1.0", "jax": "0.10.2"},
    "commit": "abc1234",
}


def record(tasks, step, status="done", figures=None, pace=0.1, message="", **changes):
    """What `run.json` holds."""
    made = {
        "version": 1, "status": status, "message": message, "step": step, "steps": 200,
        "losses": {task: 0.5 for task in tasks}, "losses_step": step,
        "tasks": {task: {"primary": METRICS[task][0], "metrics": METRICS[task][1]} for task in tasks},
        "figures": figures or {}, "constant": {},
        "seconds": {"step_median": pace, "step_p95": 1.2 * pace, "steps_timed": step, "compile": 10 * pace,
                    "to_first_step": 11 * pace, "training": pace * step, "evaluation": 1.5},
        "memory": {"bytes": int(1e9 * pace), "of": "process"}, "flops": {"step": 2e9 * pace, "forward": 1e7 * len(tasks) ** 0.5},
        "parameters": 10_000 * len(tasks), **RECORDED, "began": 1.7e9, "ended": 1.7e9 + 60,
    }  # fmt: skip
    return made | changes


def figures_of(tasks, random, factor=1.0):
    """Figures on validation: losses, and metrics that are near their levels."""
    found = {f"{task}/loss": 0.5 + 0.1 * random.random() for task in tasks}
    for name, level in LEVELS.items():
        if name.partition("/")[0] in tasks:
            up = METRICS[name.partition("/")[0]][1][name.partition("/")[2]]
            found[name] = level * (1 / factor if up else factor) * (1 + 0.02 * random.normal())
    return found


def logged(tasks, random, steps, every=10, cosines=False, factor=1.0):
    """Lines of `metrics.jsonl`."""
    for step in range(every, steps + 1, every):
        line = {"step": step, "split": "train", "time": 1.7e9 + 0.1 * step}
        line |= {f"{task}/loss": 3 * np.exp(-step / 80) + 0.3 + 0.05 * random.normal() for task in tasks}
        if len(tasks) > 1:
            line |= {
                f"balance/weight/{task}": 1 + cosines * 0.3 * np.sin(step / 30 + i) for i, task in enumerate(tasks)
            }
        if cosines:
            line |= {f"balance/cosine/{a}/{b}": np.cos(step / 50 + i + j) * 0.8 + 0.1 * random.normal()
                     for i, a in enumerate(tasks) for j, b in enumerate(tasks) if i < j}  # fmt: skip
        yield line
        if step % (steps // 4) == 0 and step != steps:
            figures = figures_of(tasks, random, factor * (1 + 0.6 * (1 - step / steps)))
            yield {"step": step, "split": "validation", "time": 1.7e9 + 0.1 * step, **figures}


def run(
    folder, method, seed, *, tasks=tuple(METRICS), task=None, share=1.0, status="done", outcome=None, steps=200, **more
):
    """Writes one run of a comparison, and returns its figures."""
    folder.mkdir(parents=True)
    own = (task,) if task else tasks
    random = np.random.default_rng([seed, *map(ord, method + (task or ""))])
    factor = more.pop("factor", 1.0) * share**-0.2
    pace = more.pop("pace", 0.1)
    lines = list(logged(own, random, steps, cosines=more.pop("cosines", False), factor=factor))
    figures = figures_of(own, random, factor) if status == "done" else {}
    if figures:
        lines.append({"step": steps, "split": "validation", "time": 1.7e9, **figures})
        lines.append({"step": steps, "split": "constant", "time": 1.7e9, **{f"{t}/loss": 1.0 for t in own}})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    job = {"version": 1, "vary": "balance", "method": method, "seed": seed, "task": task, "share": share, "attempts": 1}
    message = more.get("message", "")
    job |= {"outcome": status if outcome is None else outcome, "message": message}
    (folder / "job.json").write_text(json.dumps(job))
    config = {
        "data": "scenes('tiny')",
        "steps": steps,
        "balance": method,
        "seed": seed,
        "tasks": {t: f"{t}()" for t in own},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "run.json").write_text(json.dumps(record(own, steps, status, figures, pace, **more)))
    return figures


def comparison(workdir, methods=("equal()", "famo()", "pcgrad()"), seeds=3, shares=(1.0,), **more):
    """A comparison that is done: single networks and some methods. Returns method -> seed -> figures."""
    found = {}
    for share in shares:
        part = () if share == 1 else (f"share-{share:g}",)
        for seed in range(seeds):
            for task in METRICS:
                folder = workdir.joinpath("single", task, *part, f"seed-{seed}")
                figures = run(folder, "single", seed, task=task, share=share, pace=0.06, factor=1.03, **more)
                if share == 1:
                    found.setdefault("single", {}).setdefault(seed, {}).update(figures)
            for i, method in enumerate(methods):
                folder = workdir.joinpath("".join(c for c in method if c.isalnum()) + str(i), *part, f"seed-{seed}")
                figures = run(
                    folder, method, seed, share=share, pace=0.1 + 0.02 * i, factor=1 - 0.04 * i, cosines=i > 0, **more
                )
                if share == 1:
                    found.setdefault(method, {})[seed] = figures
    config = {"data": "scenes('tiny')", "model": "MultiTask(encoder=ResNet(depth=10))", "steps": 200, "batch_size": 8,
              "balance": "equal()", "seed": 0, "tasks": {t: f"{t}()" for t in METRICS}}  # fmt: skip
    (workdir / "config.json").write_text(json.dumps(config))
    return found
