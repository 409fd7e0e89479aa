"""What is noted of a job in its folder: `job.json`, written by whoever holds the job's lock."""

import dataclasses
import json
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

from mtljax.errors import UserError
from mtljax.studies.comparison.plan import Job
from mtljax.train.run.workdir import LOCK_FILE, read_json, replace_text, unwritable
from mtljax.train.run.writer import METRICS_FILE

JOB_FILE, JOB_LOCK, LOG_FILE, RECORD = "job.json", ".job.lock", "log.txt", "run.json"
DONE, FAILED, KILLED, STOPPED, HELD = "done", "failed", "killed", "stopped", "held"
_DEEPEST = 4  # levels of folders down to a job: METHOD/SHARE/TASK/seed-0
_STAY = (JOB_FILE, JOB_LOCK, LOG_FILE, LOCK_FILE)  # of a run that is begun anew


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a job ended, or the last try at it.

    Attributes:
        status: done, failed, killed, stopped (it goes on), or held by another process; empty where it has not ended.
        message: why, in one line.
    """

    status: str = ""
    message: str = ""

    @property
    def failed(self) -> bool:
        """Whether it ended without figures, and is not tried again unless that is asked for."""
        return self.status in (FAILED, KILLED)


def read(folder: pathlib.Path) -> dict[str, Any]:
    """What is noted of a job; nothing where there is no note, or none that is whole."""
    return read_json(folder / JOB_FILE)


def outcome(folder: pathlib.Path) -> Outcome:
    """How a job ended so far."""
    found = read(folder)
    return Outcome(str(found.get("outcome", "")), str(found.get("message", "")))


def note(workdir: pathlib.Path, job: Job, ended: Outcome) -> None:
    """Notes how a job ended, or with an empty outcome that it begins: a try more, where it does not just go on.

    Raises:
        UserError: where that cannot be written.
    """
    folder = workdir / job.folder
    before = read(folder)
    goes_on = before.get("outcome") in ("", STOPPED)
    tries = int(before.get("attempts", 0)) + (not ended.status and not goes_on)
    found = {"version": 1, "vary": job.vary, "method": job.method, "seed": job.seed, "task": job.task}
    found |= {"share": job.share, "attempts": max(tries, 1), "outcome": ended.status, "message": ended.message}
    write_json(folder / JOB_FILE, found)


def write_json(file: pathlib.Path, content: Any) -> None:
    """Writes JSON in a file's place, all of it or nothing.

    Raises:
        UserError: where that cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_text(file, json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise unwritable(file.parent, error) from error


def refuse_another(workdir: pathlib.Path, job: Job) -> None:
    """Raises `UserError` where a job's folder holds one of another method, which has the same letters."""
    found = read(workdir / job.folder)
    there = found.get("vary", job.vary), found.get("method", job.method)
    if there != (job.vary, job.method):
        raise UserError(
            f"{str(workdir / job.folder)!r} holds a run of {there[0]}={there[1]!r}, and {job.vary}={job.method!r} has "
            "the same letters: expected the one that is there, or another --workdir."
        )


def clear(folder: pathlib.Path) -> None:
    """Takes away what a run has left, but for its log: after it failed, to go on would only fail again."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in _STAY:
            path.unlink(missing_ok=True)


def last_step(folder: pathlib.Path) -> int:
    """The last step that a run has told of; 0 where none."""
    record = read_json(folder / RECORD).get("step")
    return max((step for step in (record, *_steps(folder / METRICS_FILE)) if isinstance(step, int)), default=0)


def _steps(file: pathlib.Path) -> Iterator[Any]:
    """Of the last lines of the figures; the very last may be cut off."""
    try:
        lines = file.read_bytes()[-(1 << 16) :].splitlines()[-2:]
    except OSError:
        return
    for line in lines:
        try:
            yield json.loads(line).get("step")
        except (ValueError, AttributeError):
            continue


def jobs_there(workdir: pathlib.Path) -> list[dict[str, Any]]:
    """The notes of all jobs in a comparison's folder, and with each its own, as `folder`."""
    files: list[pathlib.Path] = []
    # Unlike a pattern, it minds no folder that a run takes away meanwhile.
    for folder, inner, names in os.walk(workdir, followlinks=True):
        here = pathlib.Path(folder)
        depth = len(here.relative_to(workdir).parts)
        is_job = depth > 1 and here.name.startswith("seed-") and JOB_FILE in names
        files += [here / JOB_FILE] if is_job else []
        if is_job or depth == _DEEPEST:
            inner.clear()
    found = [{**read_json(file), "folder": str(file.parent.relative_to(workdir))} for file in sorted(files)]
    return [job for job in found if "method" in job]
