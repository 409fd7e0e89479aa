"""What is wrong with a study of relations, told before anything is trained."""

from collections.abc import Iterator, Sequence

from mtljax.errors import UserError, unknown
from mtljax.studies.comparison.check import refuse_run
from mtljax.studies.comparison.notes import DONE, outcome
from mtljax.studies.comparison.plan import Job, config_of
from mtljax.studies.relate import plan
from mtljax.studies.relate.measures import Networks, Transfer
from mtljax.studies.relate.plan import Study
from mtljax.train.config.default import checked, flat
from mtljax.train.config.experiment import tasks_of
from mtljax.train.run import config_file

MANY = 8  # tasks from which on all sets are not trained unasked


def check(study: Study, budgets: Sequence[float], *, yes: bool) -> None:
    """Refuses what cannot be measured, without building a network.

    Args:
        study: that is asked for.
        budgets: to choose for.
        yes: whether many trainings are meant.

    Raises:
        UserError: for one task, a task that wants another's prediction, too many trainings, an order of transfers that
            there are no sources for, a budget below the cheapest cover, or `measure='features'` with a look-ahead.
    """
    _check_tasks(study)
    networks, transfer = study.measures.get("networks"), study.measures.get("transfer")
    if isinstance(networks, Networks) and networks.sets == "all" and len(study.tasks) >= MANY and not yes:
        raise UserError(
            f"networks(sets='all') of {len(study.tasks)} tasks with {len(study.seeds)} seeds: the study wants "
            f"{plan.number_of(study):,} trainings; networks(sets='pairs') trains pairs alone and guesses larger sets. "
            "Give --yes where all are meant."
        )
    if isinstance(transfer, Transfer) and transfer.order > len(study.tasks) - 1:
        raise UserError(
            f"transfer(order={transfer.order}): a target has {len(study.tasks) - 1} sources; expected at most that."
        )
    if isinstance(transfer, Transfer):
        _check_readout(study, transfer)
    if "lookahead" in study.measures and study.config.measure == "features":
        raise UserError(
            "lookahead() with config.measure='features' would have been the affinity of what tasks do to the features, "
            "not to shared parameters; expected measure='shared'."
        )
    if "networks" in study.measures:
        cover = cheapest_cover(study)
        for budget in budgets:
            if budget < cover - 1e-9:
                raise UserError(
                    f"the budget {budget:g} (--budgets) is below the cheapest cover of all tasks: that costs {cover:g}."
                )


def cheapest_cover(study: Study) -> float:
    """The cost of the cheapest networks that have all tasks: that of all together, or the halves."""
    return min(1.0, sum(half.share for half in study.halves.values()) or 1.0)


def _check_tasks(study: Study) -> None:
    if len(study.tasks) < 2:
        raise UserError(
            f"one task, {''.join(study.tasks)!r}, has no other to be related to; expected two or more in config.tasks."
        )
    for name, task in tasks_of(study.config).items():
        if task.parent_names:
            raise UserError(
                f"task {name!r} takes the predictions of {', '.join(task.parent_names)}, so that no network can have "
                "it alone; expected tasks without parents."
            )


def _check_readout(study: Study, transfer: Transfer) -> None:
    known = [*flat(study.config), "tasks", "optimizers"]
    for key in transfer.readout:
        if key not in known or key in ("seed", "data", "model", "train_share"):
            raise unknown(
                "config key of transfer(readout=...):", key, set(known) - {"seed", "data", "model", "train_share"}
            )


def check_done(study: Study, jobs: Sequence[Job]) -> None:
    """Refuses runs that are done but of another config than the study wants: they would be taken for what they are not.

    Raises:
        UserError: with the keys that differ.
    """
    for job in jobs:
        folder = study.workdir / job.folder
        if outcome(folder).status == DONE:
            config_file.refuse_change(checked(config_of(study.config, job)), folder)


def representatives(study: Study, jobs: Sequence[Job]) -> list[Job]:
    """Jobs by which what is wrong with any of them shows: every task alone, all, halves, from scratch, a look-ahead."""

    def wanted() -> Iterator[Job]:
        seed = study.seeds[0]
        yield from (plan.network(study, (task,), seed) for task in study.tasks)
        yield plan.network(study, study.tasks, seed)
        yield from (plan.half(study, task, seed) for task in study.halves)
        if "lookahead" in study.measures:
            yield plan.lookahead(study, seed)
        if "transfer" in study.measures:
            yield from (plan.scratch(study, task, seed) for task in study.tasks)

    return [job for job in wanted() if job in jobs]


def refuse_other(study: Study) -> None:
    """Raises `UserError` where the study's folder is that of a training run or of a comparison."""
    refuse_run(study.workdir)
    if (study.workdir / "compare.json").exists():
        raise UserError(
            f"workdir {str(study.workdir)!r} holds a comparison; choose another --workdir for a study of relations."
        )
