"""What is gathered from the runs of a comparison: all of it can be made again from their folders."""

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mtljax.errors import UserError
from mtljax.report import write as write_report
from mtljax.report import write_run
from mtljax.studies.comparison import notes
from mtljax.studies.comparison.check import is_comparison, is_relation_study, is_run
from mtljax.train.run.workdir import unwritable

TABLE, LOCK_FILE = "compare.md", ".gather.lock"


def write(workdir: pathlib.Path, *, baseline: str | None = None, metrics: Sequence[str] = ()) -> str:
    """Gathers all runs of a comparison, and writes what is made of them.

    Of several processes, one writes after the other: the last to end leaves all that is there.

    Args:
        workdir: of the comparison.
        baseline: the method that the others are held against, once it is there; by default `single`.
        metrics: that tables show, of those that a run has told of; by default the primary ones.

    Returns:
        The table; empty while there is none.

    Raises:
        UserError: where the workdir cannot be written.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with _in_turn(workdir / LOCK_FILE):
            jobs = notes.jobs_there(workdir)
            if jobs:
                there = baseline if baseline in {job["method"] for job in jobs} else None
                known = [name for name in metrics if name in _metrics_there(workdir, jobs)]
                write_report([workdir], workdir, baseline=there, metrics=known or None)
        return (workdir / TABLE).read_text().strip() if (workdir / TABLE).exists() else ""
    except OSError as error:
        raise unwritable(workdir, error) from error


def _metrics_there(workdir: pathlib.Path, jobs: Iterable[Mapping[str, Any]]) -> set[str]:
    """The metrics that runs have told of."""
    records = (notes.read_json(workdir / job["folder"] / notes.RECORD) for job in jobs)
    tasks = (pair for record in records for pair in record.get("tasks", {}).items())
    return {f"{task}/{name}" for task, about in tasks for name in about["metrics"]}


def report(
    workdir: pathlib.Path | None,
    workdirs: Sequence[str] = (),
    *,
    methods: Sequence[str] = (),
    baseline: str | None = None,
    metrics: Sequence[str] = (),
) -> pathlib.Path:
    """Writes the page of what is there; nothing is trained.

    Args:
        workdir: a run or a comparison; or where to leave the page of `workdirs`.
        workdirs: runs and comparisons, however they were trained.
        methods: that are shown; by default all.
        baseline: as `write` has it.
        metrics: likewise.

    Returns:
        The page.

    Raises:
        UserError: where there is nothing to report on, or the page cannot be written.
    """
    if workdir is None:
        raise UserError("--mode=report wants the --workdir of a run or a comparison, or a new one with --workdirs.")
    found = [pathlib.Path(text).expanduser() for text in workdirs] or [workdir]
    for folder in found:
        if is_relation_study(folder):
            raise UserError(
                f"{str(folder)!r} holds a study of relations, whose page is relations.md in it, once all is trained; "
                "--mode=report is for runs, which lie in its folders, and for comparisons."
            )
        if not (is_run(folder) or is_comparison(folder)):
            raise UserError(f"{str(folder)!r} holds neither a run nor a comparison.")
    if not workdirs and is_run(workdir):
        return write_run(workdir)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with _in_turn(workdir / LOCK_FILE):
            return write_report(found, workdir, methods=methods or None, baseline=baseline, metrics=metrics or None)
    except OSError as error:
        raise unwritable(workdir, error) from error


@contextlib.contextmanager
def _in_turn(file: pathlib.Path) -> Iterator[None]:
    """Waits until no other process gathers, where the file system has locks."""
    held = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)
