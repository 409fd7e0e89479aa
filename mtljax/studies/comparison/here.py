"""Jobs trained one after the other in this process itself: from Python, or on several hosts that train together."""

import pathlib
from collections.abc import Sequence

import ml_collections

from mtljax.studies.comparison import training
from mtljax.studies.comparison.board import Board, Taken
from mtljax.studies.comparison.check import check
from mtljax.studies.comparison.notes import STOPPED, Outcome
from mtljax.studies.comparison.plan import Job
from mtljax.studies.comparison.told import Told
from mtljax.train.run import loop
from mtljax.train.spread import hosts


class Here:
    """Trains jobs in this process. A job that is killed takes the command with it.

    Args:
        config: of the comparison.
        workdir: of the comparison.
        allow_config_change: whether to go on with runs of another config.
    """

    def __init__(self, config: ml_collections.ConfigDict, workdir: pathlib.Path, *, allow_config_change: bool) -> None:
        self._config, self._workdir, self._change = config, workdir, allow_config_change

    def __enter__(self) -> "Here":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def check(self, jobs: Sequence[Job]) -> list[str]:
        """See `mtljax.studies.comparison.check.check`."""
        return check(self._config, jobs)

    def train(self, board: Board, told: Told) -> None:
        """Trains what is left on the board.

        Args:
            board: of jobs.
            told: of each job that has ended, and how.

        Raises:
            mtljax.train.run.loop.Stopped: after a signal, when the state of the run at hand is saved.
        """
        last = None
        while True:
            taken = hosts.agreed(lambda last=last: board.take(last) if hosts.first() else None)
            number = hosts.of_first(-1 if taken is None else board.jobs.index(taken.job))
            if number < 0:
                return
            job = board.jobs[number]
            last = job.program
            if hosts.first():
                print(f"\n{job}", flush=True)
            try:
                outcome = training.train(self._config, self._workdir, job, allow_config_change=self._change)
            except loop.Stopped:
                if taken is not None:
                    board.end(taken, Outcome(STOPPED))
                raise
            hosts.agreed(lambda taken=taken, outcome=outcome: taken and _ends(board, told, taken, outcome))


def _ends(board: Board, told: Told, taken: Taken, outcome: Outcome) -> None:
    board.end(taken, outcome)
    told.of(taken, outcome)
