"""Runs read back from the folders that they left, as one comparison."""

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mtljax.errors import UserError
from mtljax.report.files import load
from mtljax.report.reading.anyhow import compared
from mtljax.report.reading.earlier import RESULTS, earlier_metrics, earlier_runs
from mtljax.report.reading.folders import JOB, RECORD, Folder, below, last_figures, numbers, status
from mtljax.report.runs import SINGLE, Comparison, Metric, Run


def read(workdirs: Sequence[pathlib.Path]) -> Comparison:
    """All runs in some folders or below them, whatever has become of each.

    A run's method, seed, task and share of the examples are those of its job in a comparison; of runs that were trained
    one by one, the method is the value of what differs between their configs. What a comparison of an earlier version
    left in `compare.json` counts as done. Methods are in the order of their names, `single` before them, whatever was
    trained first.

    Args:
        workdirs: of comparisons, of single runs, or folders that hold such.

    Raises:
        UserError: where a folder is not there, holds no run, or a file of it cannot be read; where two runs are of the
            same method, seed, task and share, or their metrics disagree on which way is better.
    """
    folders, before = _found(workdirs)
    jobs = [folder for folder in folders if folder.job]
    others = [folder for folder in folders if not folder.job]
    alone, vary = compared(others)
    runs = [_of_job(folder) for folder in jobs]
    runs += [_run(folder, *key) for folder, key in zip(others, alone, strict=True)]
    runs = _once(runs, before)
    methods = sorted({run.method for run in runs}, key=_place)
    earlier = [metric for workdir in workdirs for metric in earlier_metrics(pathlib.Path(workdir))]
    varied = next((str(folder.job["vary"]) for folder in jobs if folder.job.get("vary")), vary)
    return Comparison(
        _metrics([folder.record for folder in folders], earlier),
        sorted(runs, key=lambda run: _order(run, methods)),
        methods,
        SINGLE if SINGLE in methods else None,
        varied,
    )


def _found(workdirs: Sequence[pathlib.Path]) -> tuple[list[Folder], list[Run]]:
    """The folders of runs, each once, and the runs that earlier versions tell of."""
    if not workdirs:
        raise UserError("no workdir to read runs from; expected one at least.")
    folders: dict[pathlib.Path, Folder] = {}
    before: list[Run] = []
    for workdir in map(pathlib.Path, workdirs):
        if not workdir.is_dir():
            raise UserError(f"no folder {str(workdir)!r}; expected the workdir of a comparison, or of a run.")
        earlier, found = earlier_runs(workdir), list(below(workdir))
        if earlier:  # the runs that it tells of have neither a job nor a record
            found = [folder for folder in found if folder.job or folder.record]
        if not found and not earlier:
            raise UserError(f"no run in {str(workdir)!r}: neither run.json, job.json nor {RESULTS} is there or below.")
        folders |= {folder.path.resolve(): folder for folder in found}
        before += earlier
    return list(folders.values()), before


def read_run(folder: pathlib.Path) -> Run:
    """One run, of a comparison or by itself.

    Raises:
        UserError: where a file of it cannot be read.
    """
    found = Folder(folder, load(folder / RECORD), load(folder / JOB))
    if found.job:
        return _of_job(found)
    (key,), _ = compared([found])
    return _run(found, *key)


def _of_job(folder: Folder) -> Run:
    job = folder.job
    try:
        return _run(folder, str(job["method"]), int(job["seed"]), job.get("task"), float(job.get("share", 1.0)))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"cannot read {str(folder.path / 'job.json')!r}: {error!r} is missing or wrong.") from error


def _run(folder: Folder, method: str, seed: int, task: str | None, share: float) -> Run:
    what, message = status(folder)
    record = folder.record
    figures = (numbers(record.get("figures") or {}) or last_figures(folder.path)) if what == "done" else {}
    if task is not None:  # its network may have its ancestors' heads, which are judged by networks of their own
        figures = {name: figure for name, figure in figures.items() if name.partition("/")[0] == task}
    step = int(record.get("step") or 0)
    return Run(method, seed, task, share, what, message, step, figures, record, folder.path)


def _once(runs: Sequence[Run], before: Sequence[Run]) -> list[Run]:
    """All runs, each once: one with a record stands for what an earlier version says of it."""
    found: dict[tuple, Run] = {}
    for run in runs:
        key = (run.method, run.seed, run.task, run.share)
        if key in found:
            raise UserError(
                f"{str(found[key].folder)!r} and {str(run.folder)!r} are runs of the same method {run.method!r} and "
                f"seed {run.seed}: a report takes one of them."
            )
        found[key] = run
    for run in before:
        found.setdefault((run.method, run.seed, run.task, run.share), run)
    return list(found.values())


def _metrics(records: Sequence[Mapping[str, Any]], earlier: Sequence[Metric]) -> list[Metric]:
    """The metrics that runs have noted, in the order of their tasks; of earlier runs alone, those of their table."""
    noted = [record["tasks"] for record in records if record.get("tasks")]
    found: dict[str, Metric] = {}
    for task in _in_order([list(tasks) for tasks in noted]):
        for one in (tasks[task] for tasks in noted if task in tasks):
            for name, up in one.get("metrics", {}).items():
                metric = Metric(f"{task}/{name}", bool(up), name == one.get("primary"))
                if found.setdefault(metric.name, metric).higher_is_better != metric.higher_is_better:
                    raise UserError(f"runs do not agree on whether higher is better of {metric.name!r}.")
    for metric in earlier:
        found.setdefault(metric.name, metric)
    tasks = list({metric.task: None for metric in found.values()})
    return sorted(found.values(), key=lambda metric: tasks.index(metric.task))


def _in_order(lists: Sequence[Sequence[str]]) -> list[str]:
    """All names once: those of the longest list first."""
    return list({name: None for names in sorted(lists, key=len, reverse=True) for name in names})


def _place(method: str) -> tuple[bool, list[tuple[bool, float, str]]]:
    """Orders `single` before others, and numbers in names by their size."""
    parts = re.split(r"(\d+(?:\.\d+)?)", method)
    return method != SINGLE, [(part.isdigit(), float(part) if _is_number(part) else 0.0, part) for part in parts]


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d+(?:\.\d+)?", text) is not None


def _order(run: Run, methods: Sequence[str]) -> tuple:
    return methods.index(run.method), -run.share, run.seed, run.task or ""
