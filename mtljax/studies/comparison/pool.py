"""Jobs trained by child processes, several at once: whatever becomes of one of them, the others go on."""

import contextlib
import json
import os
import pathlib
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import IO, Any, cast

import ml_collections

from mtljax.errors import UserError
from mtljax.studies.comparison import notes
from mtljax.studies.comparison.board import Board, Taken
from mtljax.studies.comparison.devices import Share
from mtljax.studies.comparison.notes import FAILED, KILLED, STOPPED, Outcome
from mtljax.studies.comparison.plan import Job
from mtljax.studies.comparison.told import Told
from mtljax.train.run import loop, signals

_ASKED = (0, 130, -signal.SIGTERM, -signal.SIGINT)  # exit statuses of a child that was asked to leave by others
_LOOK = 1.0  # seconds between looks at how far jobs are


class Child:
    """A worker process; see `mtljax.studies.comparison.worker`.

    Args:
        arguments: of the command line that it repeats.
        share: of the devices.
        begun: what it is told first.
    """

    def __init__(self, arguments: Sequence[str], share: Share, begun: dict[str, Any]) -> None:
        devices = [] if share.simulated is None else [f"--simulate_devices={share.simulated}"]
        warned = [f"-W{option}" for option in sys.warnoptions]
        path = os.pathsep.join(os.path.abspath(folder) for folder in sys.path)  # as here, however this was started
        self._process = subprocess.Popen(
            [sys.executable, *warned, "-P", "-m", "mtljax", *arguments, *devices, "--worker"],
            env={**os.environ, "PYTHONPATH": path, **share.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # what a terminal sends to all, this process passes on
        )
        self._input, self._output = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
        self._begun, self._mutex = begun, threading.Lock()

    def is_ready(self) -> bool:
        """Waits until it has come up; whether it has."""
        return self._read() is not None and self._send(self._begun)

    def ask(self, command: dict[str, Any]) -> dict[str, Any] | None:
        """Its answer to a command; None where it ends before."""
        return self._read() if self._send(command) else None

    def stop(self, number: int) -> None:
        """Has it save and leave, as after that signal."""
        self._send({"stop": number})

    def left(self) -> int:
        """Its exit status, once it is gone: below 0, the signal that killed it."""
        with contextlib.suppress(OSError):
            self._input.close()  # it takes that as its end
        status = self._process.wait()
        self._output.close()
        return status

    def _send(self, command: dict[str, Any]) -> bool:
        with self._mutex:
            try:
                self._input.write(json.dumps(command) + "\n")
                self._input.flush()
            except (OSError, ValueError):
                return False
        return True

    def _read(self) -> dict[str, Any] | None:
        line = self._output.readline()
        return json.loads(line) if line.endswith("\n") else None


class Pool:
    """Trains jobs in child processes, one for each share of the devices.

    Args:
        config: of the comparison.
        workdir: of the comparison.
        shares: of the devices.
        arguments: of the command line that this is, which children repeat.
        allow_config_change: whether to go on with runs of another config.
    """

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        workdir: pathlib.Path,
        shares: Sequence[Share],
        *,
        arguments: Sequence[str] = (),
        allow_config_change: bool,
    ) -> None:
        begun = {"config": config.to_dict(), "workdir": str(workdir), "allow_config_change": allow_config_change}
        self._workdir, self._shares, self._arguments, self._begun = workdir, shares, arguments, begun
        self._children: dict[int, Child] = {}
        self._signal: int | None = None
        self._events: queue.Queue[tuple[Taken, Outcome] | BaseException | None] = queue.Queue()

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        for number in list(self._children):
            self._gone(number)

    def check(self, jobs: Sequence[Job]) -> list[str]:
        """See `mtljax.studies.comparison.check.check`; the first child does it, on the devices that jobs will have."""
        reply = self._child(0).ask({"check": [vars(job) for job in jobs]})
        if reply is None:
            raise UserError(f"the process that checks the jobs {_how(self._gone(0))}.")
        if "error" in reply:
            raise UserError(reply["error"])
        return reply["notes"]

    def train(self, board: Board, told: Told) -> None:
        """Trains what is left on the board.

        Args:
            board: of jobs.
            told: of each job that has ended, and how.

        Raises:
            UserError: where a child does not come up, or a folder cannot be written.
            mtljax.train.run.loop.Stopped: after a signal, when every child has saved.
        """
        threads = [threading.Thread(target=self._serve, args=(i, board)) for i in range(len(self._shares))]
        with signals.saving(self._ask_to_stop) as something_to_save:
            something_to_save()
            for thread in threads:
                thread.start()
            error = self._watched(len(threads), told)
            for thread in threads:
                thread.join()
        if error is not None:
            raise error
        if self._signal is not None:
            raise loop.Stopped(0 if self._signal == signal.SIGTERM else 130)

    def _watched(self, threads: int, told: Told) -> BaseException | None:
        """Tells of events until all threads have ended; the first error of one of them, which ends the others."""
        error = None
        while threads:
            try:
                event = self._events.get(timeout=_LOOK)
            except queue.Empty:
                told.look()
                continue
            if event is None:
                threads -= 1
            elif isinstance(event, BaseException):
                error = error or event
                self._ask_to_stop(signal.SIGTERM)
            else:
                try:
                    told.of(*event)
                except BaseException as failure:
                    self._events.put(failure)
        return error

    def _serve(self, number: int, board: Board) -> None:
        """What a thread does: it has a child train jobs, and starts another one where it dies."""
        last = None
        try:
            while self._signal is None and (taken := board.take(last)) is not None:
                last = taken.job.program
                outcome = Outcome(STOPPED)  # where what follows raises
                try:
                    outcome = self._trained(number, taken.job)
                finally:
                    board.end(taken, outcome)
                self._events.put((taken, outcome))
        except BaseException as error:
            self._events.put(error)
        finally:
            self._gone(number)
            self._events.put(None)

    def _trained(self, number: int, job: Job) -> Outcome:
        child = self._child(number)
        reply = child.ask({"train": vars(job)}) if self._signal is None else None
        if reply is not None:
            return Outcome(**reply)
        status = self._gone(number)
        if self._signal is not None or status in _ASKED:
            return Outcome(STOPPED)  # before there was anything to save
        step = notes.last_step(self._workdir / job.folder)
        return Outcome(KILLED if status < 0 else FAILED, f"{_how(status)} at step {step}")

    def _child(self, number: int) -> Child:
        """The child of a number; a new one where it is gone."""
        child = self._children.get(number)
        if child is None:
            child = self._children[number] = Child(self._arguments, self._shares[number], self._begun)
            if not child.is_ready() and self._signal is None and (status := self._gone(number)) not in _ASKED:
                raise UserError(f"a process that trains jobs {_how(status)} before it was ready; see above.")
        return child

    def _gone(self, number: int) -> int:
        """The exit status of a child, after its end."""
        child = self._children.pop(number, None)
        return 0 if child is None else child.left()

    def _ask_to_stop(self, number: int) -> None:
        self._signal = number
        for child in list(self._children.values()):
            child.stop(number)


def _how(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
