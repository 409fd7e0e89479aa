"""Folders of runs: which there are below a workdir, and what has become of each."""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any

from mtljax.report.files import load
from mtljax.report.reading.curves import METRICS_FILE, NOT_THERE

RECORD, JOB, CONFIG, LOCK = "run.json", "job.json", "config.json", ".lock"
_GONE = 60.0  # seconds without a sign of life, after which the holder of a lock on another host is gone
_NOT_RUNS = ("checkpoints", "tensorboard", "figures")
_DONE, _RUNNING, _KILLED = "done", "running", "killed"


@dataclasses.dataclass(frozen=True)
class Folder:
    """A run's folder and what its files say.

    Attributes:
        path: of the folder.
        record: of `run.json`; empty where there is none.
        job: of `job.json`; empty where there is none: the run belongs to no comparison.
    """

    path: pathlib.Path
    record: Mapping[str, Any]
    job: Mapping[str, Any]

    def config(self) -> dict[str, Any]:
        """The run's config as dotted keys; empty where there is none."""
        return flat(load(self.path / CONFIG))


def below(workdir: pathlib.Path) -> Iterator[Folder]:
    """Every run in a folder or below it, in the order of their paths; what is inside a run is not looked at."""
    for path, inner, files in os.walk(workdir):
        inner[:] = sorted(set(inner).difference(_NOT_RUNS))
        if RECORD in files or JOB in files or METRICS_FILE in files:
            inner.clear()
            here = pathlib.Path(path)
            yield Folder(here, load(here / RECORD), load(here / JOB))


def status(folder: Folder) -> tuple[str, str]:
    """What has become of a run, and why it failed, in one line: see `mtljax.report.Run`.

    A run that says it is running while no process holds its folder was killed. Whoever started it may have noted how;
    that counts until it runs again.
    """
    record, job = folder.record, folder.job
    now, outcome = record.get("status", ""), job.get("outcome", "")
    message = str(job.get("message") or record.get("message") or "")
    if not record and not job:
        return _without_record(folder)
    if now == _DONE:
        return _DONE, ""
    if now in ("", _RUNNING) and held(folder.path):
        return _RUNNING, ""
    if outcome and outcome != _DONE:
        return outcome, message
    if now == _RUNNING:
        return _KILLED, message or f"killed after step {record.get('step', 0)}"
    if now:
        return now, message
    return (_DONE if outcome == _DONE else "waiting"), message


def _without_record(folder: Folder) -> tuple[str, str]:
    """Of a run of an earlier version: it is done where it was held against the constant predictor, the last it does."""
    if held(folder.path):
        return _RUNNING, ""
    return (_DONE, "") if last_figures(folder.path) else ("stopped", "")


def last_figures(folder: pathlib.Path) -> dict[str, float]:
    """The figures on validation at the end of a run that left no record; none of one that has not ended."""
    found: dict[str, dict[str, Any]] = {}
    file = folder / METRICS_FILE
    with contextlib.suppress(*NOT_THERE), file.open("rb") as lines:
        for line in lines:
            if b'"split": "validation"' in line[:96] or b'"split": "constant"' in line[:96]:
                with contextlib.suppress(ValueError):
                    figures = json.loads(line)
                    found[figures["split"]] = figures
    validation, constant = found.get("validation", {}), found.get("constant", {})
    if not constant or validation.get("step") != constant.get("step"):
        return {}
    return numbers({key: value for key, value in validation.items() if key not in ("step", "split", "time")})


def numbers(figures: Mapping[str, float | None]) -> dict[str, float]:
    """Figures as JSON has them: NaN where they are null, since they were not finite."""
    return {key: float("nan") if value is None else float(value) for key, value in figures.items()}


def held(folder: pathlib.Path) -> bool:
    """Whether a process holds a run's folder, by the lock that every training has on a file in it.

    Locks may not count between hosts: one of another host holds it while it gives signs of life, by touching the file.
    """
    if _alive_elsewhere(folder / LOCK):
        return True
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _alive_elsewhere(file: pathlib.Path) -> bool:
    try:
        host = json.loads(file.read_text())["host"]
        return host != socket.gethostname() and time.time() - file.stat().st_mtime < _GONE
    except (OSError, ValueError, KeyError, TypeError):
        return False


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config as one dict of dotted keys.

    Example:
        >>> flat({"steps": 10, "tasks": {"depth": "depth()"}})
        {'steps': 10, 'tasks.depth': 'depth()'}
    """
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= {f"{key}.{inner}": one for inner, one in flat(value).items()}
        else:
            found[key] = value
    return found
