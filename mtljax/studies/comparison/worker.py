"""A child process of a comparison: it trains the jobs that its parent names, one after the other.

It reads a line of JSON a command from its standard input and answers each with one. When the input ends, so does it, at
once: its parent is gone. Its standard output and error, while it trains, are the job's log.
"""

import contextlib
import json
import os
import pathlib
import queue
import sys
import threading
import time
from collections.abc import Iterator
from typing import IO, Any

import ml_collections

from mtljax.errors import UserError
from mtljax.studies.comparison import notes
from mtljax.studies.comparison.plan import Job
from mtljax.train.run import signals


def main() -> int:
    """Does what the parent says until it says no more; returns the exit status."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is printed between jobs is no reply
    commands: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(commands,), daemon=True).start()
    _reply(replies, {"ready": os.getpid()})
    begun = commands.get()
    config, workdir = ml_collections.ConfigDict(begun["config"]), pathlib.Path(begun["workdir"])
    while True:
        command = commands.get()
        if "check" in command:
            _reply(replies, _checked(config, [Job(**job) for job in command["check"]]))
        else:
            job = Job(**command["train"])
            _reply(replies, _trained(config, workdir, job, begun["allow_config_change"]))


def _listen(commands: queue.Queue[dict[str, Any]]) -> None:
    for line in sys.stdin.buffer:
        command = json.loads(line)
        if "stop" in command:
            signals.ask(command["stop"])
        else:
            commands.put(command)
    os._exit(1)


def _reply(replies: IO[str], reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


def _checked(config: ml_collections.ConfigDict, jobs: list[Job]) -> dict[str, Any]:
    from mtljax.studies.comparison.check import check

    try:
        return {"notes": check(config, jobs)}
    except UserError as error:
        return {"error": str(error)}


def _trained(config: ml_collections.ConfigDict, workdir: pathlib.Path, job: Job, change: bool) -> dict[str, Any]:
    from mtljax.studies.comparison import training
    from mtljax.train.run import loop

    with _logged(workdir / job.folder / notes.LOG_FILE, job):
        try:
            outcome = training.train(config, workdir, job, allow_config_change=change)
        except loop.Stopped:
            outcome = notes.Outcome(notes.STOPPED)
    return {"status": outcome.status, "message": outcome.message}


@contextlib.contextmanager
def _logged(file: pathlib.Path, job: Job) -> Iterator[None]:
    """Has all that is printed, by whatever library, appended to a file."""
    before = [os.dup(descriptor) for descriptor in (1, 2)]
    log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.write(log, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {job}\n".encode())
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, old in zip((1, 2), before, strict=True):
            os.dup2(old, descriptor)
            os.close(old)
