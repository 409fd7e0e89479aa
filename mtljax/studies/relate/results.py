"""What the runs of a study have left, read back: losses of images, of splits, early losses, affinities, cosines."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mtljax.errors import UserError
from mtljax.studies.comparison.notes import read_json
from mtljax.studies.comparison.plan import Job
from mtljax.studies.relate.plan import Study
from mtljax.train.run.image_losses import FILE
from mtljax.train.run.writer import METRICS_FILE

AFFINITY = "affinity.json"
_COSINE = "balance/cosine/"
_SHARES = "a study compares losses as shares of a task's own network's, which wants losses above 0."


def split_losses(study: Study, job: Job, split: str) -> dict[str, float]:
    """Task -> loss over a split.

    Raises:
        UserError: where the run has not left it, or it is no number, or one below 0, which is a share of nothing.
    """
    mean = _judged(study, job, split)["mean"]
    for task, loss in mean.items():
        if loss is None:
            raise UserError(f"{job}: its loss of {task!r} on {split} is no finite number; nothing can be chosen by it.")
        if loss < 0:
            raise UserError(f"{job}: its loss of {task!r} on {split} is {loss:g}; {_SHARES}")
    return dict(mean)


def own_losses(study: Study, job: Job, split: str) -> dict[str, float]:
    """As `split_losses`, of a network over whose losses those of others are.

    Raises:
        UserError: as `split_losses`, and for a loss of 0.
    """
    found = split_losses(study, job, split)
    for task, loss in found.items():
        if loss == 0:
            raise UserError(f"{job}: its loss of {task!r} on {split} is 0; {_SHARES}")
    return found


def image_losses(study: Study, job: Job, split: str, task: str) -> np.ndarray:
    """(N,) float64 loss of a task on each image of a split; NaN where the image has no label."""
    return np.array(_judged(study, job, split)["losses"][task], np.float64)


def early_losses(study: Study, job: Job) -> dict[str, float]:
    """Task -> loss on validation after the share of the steps that ESA looks at.

    Raises:
        UserError: where the run has not told it.
    """
    for line in _lines(study, job):
        if line.get("split") == "validation" and line.get("step") == study.early:
            found = {key.removesuffix("/loss"): value for key, value in line.items() if key.endswith("/loss")}
            if found and None not in found.values():
                return found
    raise UserError(f"{job}: it has told no losses at step {study.early}, which networks(early=...) looks at.")


def cosines_of(study: Study, job: Job, tasks: Sequence[str]) -> np.ndarray:
    """(T, T) mean cosines of the tasks' gradients over a run, 1 on the diagonal; NaN for pairs that had none."""
    found: dict[str, list[float]] = {}
    for line in _lines(study, job):
        for key, value in line.items():
            if key.startswith(_COSINE) and value is not None:
                found.setdefault(key.removeprefix(_COSINE), []).append(value)
    cosines = np.eye(len(tasks))
    for i, one in enumerate(tasks):
        for j in range(i + 1, len(tasks)):
            seen = found.get(f"{one}/{tasks[j]}") or found.get(f"{tasks[j]}/{one}")
            cosines[i, j] = cosines[j, i] = np.mean(seen) if seen else np.nan
    return cosines


def lookahead_of(study: Study, job: Job, tasks: Sequence[str]) -> np.ndarray:
    """(T, T) [source][target] mean affinity over a run; NaN for pairs that had none.

    Raises:
        UserError: where the run has not left it.
    """
    found = read_json(study.workdir / job.folder / AFFINITY)
    if set(found.get("tasks", ())) != set(tasks):
        raise UserError(f"{job}: {study.workdir / job.folder / AFFINITY} holds no affinities of {', '.join(tasks)}.")
    places = [found["tasks"].index(task) for task in tasks]
    mean = np.array([[np.nan if x is None else x for x in row] for row in found["mean"]], np.float64)
    return mean[np.ix_(places, places)]


def _judged(study: Study, job: Job, split: str) -> Mapping[str, Any]:
    found = read_json(study.workdir / job.folder / FILE).get(split)
    if not isinstance(found, Mapping):
        raise UserError(f"{job}: {study.workdir / job.folder / FILE} has no losses on {split}.")
    return found


def _lines(study: Study, job: Job) -> Iterator[dict[str, Any]]:
    try:
        text = (study.workdir / job.folder / METRICS_FILE).read_text()
    except OSError:
        return
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue
