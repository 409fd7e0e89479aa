"""What a comparison tells as it goes: a line a run, a bar of what is under way, a table at the end."""

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from mtljax.errors import UserError
from mtljax.studies.comparison import notes
from mtljax.studies.comparison.board import Board, Taken
from mtljax.studies.comparison.notes import DONE, HELD, STOPPED, Outcome
from mtljax.studies.comparison.plan import Job
from mtljax.train.run.loop import Stopped
from mtljax.train.spread import hosts


class Told:
    """Tells of the jobs of a command on standard output, and has what is there gathered after each of them.

    Args:
        board: of the jobs.
        gather: gathers, and returns what is to be shown at the end.
    """

    def __init__(self, board: Board, gather: Callable[[], str]) -> None:
        self._board, self._gather = board, gather
        self._bar: Any = None
        self._trained, self._looked = 0, time.monotonic()

    def __enter__(self) -> "Told":
        board = self._board
        done = len(board.jobs) - len(board.left)
        options = {"unit": "run", "dynamic_ncols": True, "disable": not hosts.first()}
        self._bar = tqdm(total=len(board.jobs), initial=done, **options)
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()
        if isinstance(error[1], Stopped) and hosts.first():
            with contextlib.suppress(UserError):
                self._gather()
            self.line("stopped, and every run saved that had begun; the same command goes on.")

    def line(self, text: str) -> None:
        """Tells a line."""
        if hosts.first():
            tqdm.write(text)
            sys.stdout.flush()

    def look(self) -> None:
        """Shows how far the jobs are that are under way: in a log file, every half minute."""
        if time.monotonic() - self._looked < (0.5 if sys.stderr.isatty() else 30.0):
            return
        self._looked = time.monotonic()
        folders = {job: self._board.workdir / job.folder for job in self._board.running}
        shown = (f"{job}: step {notes.last_step(folder)}" for job, folder in folders.items())
        self._bar.set_postfix_str("; ".join(shown))

    def of(self, taken: Taken, outcome: Outcome) -> None:
        """Tells that a job has ended, and gathers."""
        seconds, job = time.monotonic() - taken.began, taken.job
        if outcome.status != DONE:
            folder = self._board.workdir / job.folder
            where = f"step {notes.last_step(folder)}: " if outcome.status != HELD else ""
            self.line(f"{job}: {outcome.status.upper()}, {where}{outcome.message}".rstrip(": ") + f" ({seconds:.1f} s)")
        else:
            self.line(f"{job}: done ({seconds:.1f} s)")
        self._bar.update(outcome.status != HELD)
        self._trained += outcome.status != HELD
        if outcome.status not in (HELD, STOPPED):
            try:
                self._gather()
            except Exception as error:  # training goes on; what is wrong is told at the end
                self.line(f"warning: not gathered after this run: {error}")

    def end(self) -> int:
        """Gathers for the last time, shows the table, and what is not done; returns on all hosts how many runs failed.

        Raises:
            UserError: where others hold all that is left.
        """
        # The first host alone knows how they ended.
        return hosts.of_first(hosts.agreed(lambda: self._failed() if hosts.first() else 0))

    def _failed(self) -> int:
        failed, held = self._of(lambda outcome: outcome.failed), self._of(lambda outcome: outcome.status == HELD)
        if held and not self._trained:
            lines = [f"  {job}: {outcome.message}" for job, outcome in held.items()]
            raise UserError("nothing is left to train but what others hold:\n" + "\n".join(lines))
        for job, outcome in {**held, **failed}.items():
            log = self._board.workdir / job.folder / notes.LOG_FILE
            self.line(f"{job}: {outcome.status}: {outcome.message}" + (f"; see {log}" if log.exists() else ""))
        self.line(f"\n{self._gather()}\n")
        if failed:
            self.line(f"{len(failed)} of {len(self._board.jobs)} runs failed; --retry_failed tries them again.")
        return len(failed)

    def _of(self, which: Callable[[Outcome], bool]) -> dict[Job, Outcome]:
        return {job: outcome for job, outcome in self._board.ended.items() if which(outcome)}
