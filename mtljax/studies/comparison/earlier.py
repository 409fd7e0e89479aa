"""Figures of a comparison of an earlier version, which stood in one file: they go to the folders of their runs."""

import math
import pathlib
from collections.abc import Mapping
from typing import Any

from mtljax.report.reading.earlier import earlier_figures
from mtljax.report.runs import SINGLE
from mtljax.studies.comparison import notes
from mtljax.studies.comparison.plan import Job
from mtljax.studies.comparison.values import folder_of
from mtljax.train.run.workdir import InUse, sole_use


def adopt(workdir: pathlib.Path, vary: str, tasks: Mapping[str, Any]) -> None:
    """Notes each earlier run as done in its folder, with its figures, where nothing is noted yet.

    Args:
        workdir: of the comparison.
        vary: the config's key that methods are values of.
        tasks: of all, as `run.json` has them.

    Raises:
        UserError: where the file cannot be read, or a folder cannot be written.
    """
    for method, seeds in earlier_figures(workdir).items():
        for seed, figures in seeds.items():
            for task in tasks if method == SINGLE else (None,):
                place = SINGLE if method == SINGLE else folder_of({vary: method})
                job = Job(vary, method, int(seed), place, task)
                if not notes.read(workdir / job.folder):
                    _adopt(workdir, job, figures, tasks)


def _adopt(workdir: pathlib.Path, job: Job, figures: Mapping[str, float], tasks: Mapping[str, Any]) -> None:
    own = {name: about for name, about in tasks.items() if job.task in (None, name)}
    there = {key: value for key, value in figures.items() if key.partition("/")[0] in own}
    finite = {key: value if math.isfinite(value) else None for key, value in there.items()}
    record = {"version": 1, "status": notes.DONE, "tasks": own, "figures": finite}
    try:
        with sole_use(workdir / job.folder, notes.JOB_LOCK):
            notes.write_json(workdir / job.folder / notes.RECORD, record)
            notes.note(workdir, job, notes.Outcome(notes.DONE))
    except InUse:
        pass  # another command does the same
