"""One job of a comparison, trained by this process."""

import pathlib
import sys
import traceback

import jax
import ml_collections

from mtljax.errors import UserError, untraced
from mtljax.studies.comparison.notes import DONE, FAILED, HELD, Outcome
from mtljax.studies.comparison.plan import Job, config_of
from mtljax.train.config.programs import Programs
from mtljax.train.run import image_losses, loop
from mtljax.train.run.workdir import InUse
from mtljax.train.spread import hosts

_programs = Programs()  # those of the latest method: its seeds share them
_kept: list[tuple[str, str | None]] = []  # whose programs they are


def train(
    config: ml_collections.ConfigDict, workdir: pathlib.Path, job: Job, *, allow_config_change: bool = False
) -> Outcome:
    """Trains a job from where it stands; whatever goes wrong is an outcome, told on standard error.

    Args:
        config: of the comparison.
        workdir: of the comparison.
        job: to train.
        allow_config_change: whether to go on with a run of another config.

    Raises:
        mtljax.train.run.loop.Stopped: after a signal, when its state is saved.
        UserError: of several hosts, on one where the others may not know of it.
    """
    if _kept != [job.program]:
        jax.clear_caches()  # compiled steps of another method would only take memory
        _kept[:] = [job.program]
    try:
        part = config_of(config, job)
        options = {"programs": _programs, "times_predictions": not job.judged}
        loop.train(part, workdir / job.folder, allow_config_change=allow_config_change, **options)
        if job.judged:
            image_losses.keep(part, workdir / job.folder, job.judged.split(","), _programs)
    except InUse as error:
        return Outcome(HELD, str(error))
    except UserError as error:
        if hosts.is_alone(error):
            raise  # other hosts are still at this job
        print(f"error: {error}", file=sys.stderr, flush=True)
        return Outcome(FAILED, one_line(error))
    except Exception as error:  # whatever it is, the other jobs go on
        if hosts.shard()[1] > 1:
            raise
        traceback.print_exc()
        return Outcome(FAILED, one_line(error))
    return Outcome(DONE)


def one_line(error: BaseException) -> str:
    """What is said of an error in one line, with its kind where it is no mistake in the input."""
    text = " ".join(untraced(str(error)).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"[:500].strip(" :")
