"""Studies of relations whose runs a test makes up: what they leave is written, and nothing is trained."""

import json

import numpy as np

from mtljax.studies.comparison import notes
from mtljax.studies.comparison.notes import Outcome
from mtljax.studies.relate import plan
from mtljax.studies.relate.half import Half
from mtljax.studies.relate.measures import measures_of
from mtljax.studies.relate.plan import Study
from mtljax.train import default_config
from mtljax.train.config.default import checked

TASKS = ("a", "b", "c")
IMAGES = 16


def study(workdir, relations, seeds=(0,), tasks=TASKS, splits=("validation", "test")):
    """A study on pairs of digits that are not there; its networks of half the FLOPs cost 0.5."""
    config = default_config()
    config.data, config.model = "multi_mnist('nowhere')", "MultiTask(encoder=MLP(widths=[4]))"
    config.tasks = {task: f"classify(num_classes=10, label='{task}')" for task in tasks}
    config.optimizers = {group: "adam(1e-2)" for group in ("shared", *tasks)}
    config.steps = 10
    measures = measures_of(relations)
    halves = {task: Half("half", "half", 0.5) for task in tasks} if "networks" in measures else {}
    return Study(checked(config), workdir, measures, tuple(seeds), splits, halves)


def leave(study, job, losses, *, early=None, spread=0.3):
    """Writes what a run leaves: the losses of images are around the task's mean, in an order of their own.

    Args:
        study: whose run it is.
        job: of the run.
        losses: task -> mean loss, the same on all splits.
        early: likewise, after a part of the training; by default the same.
        spread: how far losses of images are apart.
    """
    folder = study.workdir / job.folder
    found = {"step": 10}
    for split in study.splits:
        noise = np.linspace(-spread, spread, IMAGES)
        images = {task: (loss + np.roll(noise, len(job.folder))).tolist() for task, loss in losses.items()}
        found[split] = {"losses": images, "mean": dict(losses)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "image_losses.json").write_text(json.dumps(found))
    told = {f"{task}/loss": loss for task, loss in (early or losses).items()}
    lines = [{"step": study.early, "split": "validation", **told}]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    notes.note(study.workdir, job, Outcome("done"))


def leave_lookahead(study, job, affinity, cosines):
    """Writes what a look-ahead run leaves: affinities [source][target], in another order of tasks, and cosines."""
    leave(study, job, dict.fromkeys(study.tasks, 1.0))
    folder = study.workdir / job.folder
    content = {"tasks": list(study.tasks[::-1]), "mean": np.asarray(affinity)[::-1, ::-1].tolist()}
    (folder / "affinity.json").write_text(json.dumps(content))
    pairs = {
        f"balance/cosine/{a}/{b}": cosines[i][j]
        for i, a in enumerate(study.tasks)
        for j, b in enumerate(study.tasks)
        if i < j
    }
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 10, "split": "train", **pairs}) + "\n")


def leave_networks(study, loss_of):
    """Writes all networks; `loss_of(tasks, task, half)` gives each its loss."""
    for seed in study.seeds:
        for tasks in plan.sets_of(study):
            leave(study, plan.network(study, tasks, seed), {task: loss_of(tasks, task, False) for task in tasks})
        for task in study.halves:
            leave(study, plan.half(study, task, seed), {task: loss_of((task,), task, True)})
