"""What is wrong with the jobs of a comparison, told before any of them is trained."""

import json
import pathlib
from collections.abc import Sequence

import ml_collections

from mtljax.errors import UserError
from mtljax.studies.comparison.notes import RECORD, jobs_there
from mtljax.studies.comparison.plan import Job, config_of, one_of_each
from mtljax.train.config import checks, default, experiment
from mtljax.train.run.checkpoint import CHECKPOINTS
from mtljax.train.run.writer import METRICS_FILE

_OF_BALANCERS = ("balance", "measure", "seed")  # keys that data, model and tasks do not look at


def check(config: ml_collections.ConfigDict, jobs: Sequence[Job]) -> list[str]:
    """Builds every method's run, and reads what data it needs to see whether its parts fit each other.

    Returns:
        Notes on what may be meant, and more often is not.

    Raises:
        UserError: with all that is wrong, of all methods.
    """
    wrong: dict[str, str] = {}
    notes: dict[str, None] = {}
    fitted: set[str] = set()
    for job in one_of_each(jobs):
        try:
            part = default.checked(config_of(config, job))
            parts = experiment.build(part)
            looks = parts.balancer.groups or parts.balancer.needs or ":" in part.balance
            unseen = () if looks else _OF_BALANCERS  # these balancers are held against parameters and data, too
            others = {key: value for key, value in part.to_dict().items() if key not in unseen}
            if (key := json.dumps(others, sort_keys=True)) not in fitted:
                fitted.add(key)
                notes |= dict.fromkeys(checks.notes(parts, checks.fit(parts)))
        except UserError as error:
            task = f" ({job.task})" if job.task else ""
            wrong[f"{job.method}{task}"] = str(error)
    if len(set(wrong.values())) == 1:
        raise UserError(next(iter(wrong.values())))
    if wrong:
        lines = [f"  {name}: {message}" for name, message in wrong.items()]
        raise UserError(
            f"of {'--relations' if jobs[0].changes else '--methods'}, these cannot be trained:\n" + "\n".join(lines)
        )
    return list(notes)


def refuse_run(workdir: pathlib.Path) -> None:
    """Raises `UserError` where a folder for a comparison is that of a training run."""
    if is_run(workdir):
        raise UserError(f"workdir {str(workdir)!r} holds a training run; choose another --workdir for a comparison.")


def is_run(workdir: pathlib.Path) -> bool:
    """Whether a folder is that of a training run."""
    return any((workdir / name).exists() for name in (METRICS_FILE, CHECKPOINTS, RECORD))


def is_comparison(workdir: pathlib.Path) -> bool:
    """Whether a folder is that of a comparison."""
    return (workdir / "compare.json").exists() or bool(jobs_there(workdir))


def is_relation_study(workdir: pathlib.Path) -> bool:
    """Whether a folder is that of a study of relations."""
    files = ("halves.json", "relations.json")
    jobs = jobs_there(workdir)
    return any((workdir / name).exists() for name in files) or any(job.get("vary") == "relations" for job in jobs)


def refuse_relation_study(workdir: pathlib.Path) -> None:
    """Raises `UserError` where a folder for something else is that of a study of relations."""
    if is_relation_study(workdir):
        raise UserError(
            f"workdir {str(workdir)!r} holds a study of relations: go on by --mode=relate, or choose another --workdir."
        )


def refuse_other(workdir: pathlib.Path) -> None:
    """Raises `UserError` where a folder for a comparison is that of a training run or of a study of relations."""
    refuse_run(workdir)
    refuse_relation_study(workdir)


def refuse_comparison(workdir: pathlib.Path) -> None:
    """Raises `UserError` where a folder for a training run is that of a comparison or of a study of relations."""
    refuse_relation_study(workdir)
    if is_comparison(workdir):
        raise UserError(
            f"workdir {str(workdir)!r} holds a comparison: go on by --mode=compare, or choose another --workdir."
        )
