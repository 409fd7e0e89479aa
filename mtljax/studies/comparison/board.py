"""The jobs of a command, as it takes them one by one: what is done stays, what others hold is left to them."""

import contextlib
import dataclasses
import pathlib
import threading
import time
from collections.abc import Sequence

from mtljax.studies.comparison import notes
from mtljax.studies.comparison.notes import DONE, HELD, Outcome
from mtljax.studies.comparison.plan import Job
from mtljax.train.run.workdir import InUse, sole_use

Program = tuple[str, str | None]


@dataclasses.dataclass
class Taken:
    """A job that this command holds.

    Attributes:
        job: that was taken.
        lock: holds its folder.
        began: when, on a clock of seconds.
    """

    job: Job
    lock: contextlib.ExitStack
    began: float = dataclasses.field(default_factory=time.monotonic)


class Board:
    """Gives out jobs, each to one, and notes how they end. Threads may ask at once.

    Args:
        workdir: of the comparison.
        jobs: that the command asks for, in order.
        retry_failed: whether those that failed or were killed are tried again.
    """

    def __init__(self, workdir: pathlib.Path, jobs: Sequence[Job], *, retry_failed: bool = False) -> None:
        self.workdir, self.jobs, self._retry = workdir, list(jobs), retry_failed
        self.ended: dict[Job, Outcome] = {job: found for job in jobs if self._is_over(found := self._noted(job))}
        self._held: dict[Job, bool] = {}  # whether they were asked for twice
        self._running: dict[Job, Taken] = {}
        self._begun: set[Program] = set()
        self._mutex = threading.Lock()

    @property
    def left(self) -> list[Job]:
        """Jobs that have not ended."""
        return [job for job in self.jobs if job not in self.ended]

    @property
    def running(self) -> list[Job]:
        """Jobs that this command holds."""
        return list(self._running)

    def take(self, last: Program | None = None) -> Taken | None:
        """The next job: of the programs that are compiled already, else of one that nobody else here has begun.

        Args:
            last: the programs of the job that went before.

        Returns:
            The job, its folder held until `end`; None where there is none that is free.

        Raises:
            UserError: where a folder cannot be written.
        """
        with self._mutex:
            while (job := self._next(last)) is not None:
                taken = self._tried(job)
                if taken is not None:
                    self._running[job] = taken
                    self._begun.add(job.program)
                    return taken
            return None

    def end(self, taken: Taken, outcome: Outcome) -> None:
        """Notes how a job ended, and lets it go.

        Raises:
            UserError: where that cannot be written.
        """
        try:
            if outcome.status != HELD:
                notes.note(self.workdir, taken.job, outcome)
        finally:
            taken.lock.close()
            with self._mutex:
                del self._running[taken.job]
                if outcome.status == HELD:
                    self._is_held(taken.job, outcome.message)
                else:
                    self.ended[taken.job] = outcome

    def _next(self, last: Program | None) -> Job | None:
        fresh = [job for job in self.left if job not in self._running and job not in self._held]
        again = [job for job, twice in self._held.items() if not twice and job in self.left]

        def rank(job: Job) -> int:
            return 0 if job.program == last else 2 if job.program in self._begun else 1

        return min(fresh, key=rank, default=next(iter(again), None))

    def _tried(self, job: Job) -> Taken | None:
        """Holds a job and makes it ready; None where another process has it, or has ended it."""
        folder, lock = self.workdir / job.folder, contextlib.ExitStack()
        try:
            lock.enter_context(sole_use(folder, notes.JOB_LOCK))
        except InUse as held:
            self._is_held(job, str(held))
            return None
        before = self._noted(job)
        if self._is_over(before):
            lock.close()
            self.ended[job] = before
            return None
        with lock:
            if before.status == notes.FAILED:
                notes.clear(folder)
            notes.note(self.workdir, job, Outcome())
            return Taken(job, lock.pop_all())

    def _is_held(self, job: Job, message: str) -> None:
        """Leaves a job to who holds it; it is asked for once more, when nothing else is left."""
        if job in self._held:
            self.ended[job] = Outcome(HELD, message)
        self._held[job] = job in self._held

    def _noted(self, job: Job) -> Outcome:
        return notes.outcome(self.workdir / job.folder)

    def _is_over(self, outcome: Outcome) -> bool:
        return outcome.status == DONE or (outcome.failed and not self._retry)
