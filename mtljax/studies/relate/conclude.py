"""What a study of relations concludes, from the folders of its runs alone."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from mtljax.errors import UserError
from mtljax.relations import pair_gain
from mtljax.relations.taxonomy import Taxonomy
from mtljax.studies.relate import agreement, choices, plan, results, transfers
from mtljax.studies.relate.agreement import Agreement
from mtljax.studies.relate.choices import Candidates, Chosen
from mtljax.studies.relate.last_layers import Covariances
from mtljax.studies.relate.measures import Networks, Surrogate
from mtljax.studies.relate.plan import Set, Study
from mtljax.studies.relate.transfers import Transfers

Band = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Concluded:
    """What was found.

    Attributes:
        study: whose runs were read.
        budgets: that was chosen for.
        importance: of each task.
        matrices: measure -> (seeds, T, T) [source][target].
        agreements: of every two of them.
        transfers: where they were measured.
        taxonomies: budget -> what to learn in full.
        chosen: budget -> method -> networks that it chooses by the means over seeds, as judged on test.
        curves: method -> budget -> loss on test of each seed's own choice.
        random: budget -> mean, least and greatest loss on test of networks chosen at random.
        surrogate: error of the fit on networks that it saw, and on those that it did not; NaN where there were none.
        covariance: of each seed, and the tasks that it is of.
    """

    study: Study
    budgets: Sequence[float]
    importance: Mapping[str, float]
    matrices: Mapping[str, np.ndarray]
    agreements: Sequence[Agreement]
    transfers: Transfers | None
    taxonomies: Mapping[float, Taxonomy]
    chosen: Mapping[float, Mapping[str, Chosen]]
    curves: Mapping[str, Mapping[float, Sequence[float]]]
    random: Mapping[float, Band]
    surrogate: tuple[float, float] | None
    covariance: Covariances | None


def conclude(
    study: Study, budgets: Sequence[float], importance: Mapping[str, float], covariance: Covariances | None = None
) -> Concluded:
    """Concludes from what the runs of a study have left.

    Args:
        study: all of whose runs are done.
        budgets: to choose for.
        importance: of each task.
        covariance: of last layers, as `last_layers.of_study` finds it.

    Raises:
        UserError: where a run has not left what is looked at.
    """
    measured = transfers.measured(study) if "transfer" in study.measures else None
    looked = _looked(study)
    affinity = looked.get(agreement.LOOKAHEAD)
    matrices = _gains(study) | looked
    if measured is not None:
        matrices[agreement.AFFINITY] = measured.first
    chosen, curves, random = _choices(study, budgets, importance, affinity)
    fit = _surrogate(study, budgets, importance, chosen) if "surrogate" in study.measures else None
    return Concluded(
        study=study,
        budgets=budgets,
        importance=importance,
        matrices=matrices,
        agreements=agreement.agreements(matrices, study.tasks),
        transfers=measured,
        taxonomies={} if measured is None else transfers.taxonomies(measured, budgets, importance),
        chosen=chosen,
        curves=curves,
        random=random,
        surrogate=fit,
        covariance=covariance,
    )


def _looked(study: Study) -> dict[str, np.ndarray]:
    """Matrices of the look-ahead runs; the affinity first."""
    if "lookahead" not in study.measures:
        return {}
    jobs = [plan.lookahead(study, seed) for seed in study.seeds]
    return {
        agreement.LOOKAHEAD: np.stack([results.lookahead_of(study, job, study.tasks) for job in jobs]),
        agreement.COSINE: np.stack([results.cosines_of(study, job, study.tasks) for job in jobs]),
    }


def _sets(study: Study) -> list[Set]:
    return plan.sets_of(study)


def _gains(study: Study) -> dict[str, np.ndarray]:
    """Gains in pairs over the half-size network, on test; whatever tasks' importance, which may be 0."""
    if not isinstance(study.measures.get("networks"), Networks):
        return {}
    even = dict.fromkeys(study.tasks, 1.0)
    each = [choices.candidates(study, _sets(study), even, [seed]).test for seed in study.seeds]
    return {agreement.GAIN: np.stack([pair_gain(found, study.tasks) for found in each])}


def _choices(
    study: Study, budgets: Sequence[float], importance: Mapping[str, float], affinity: np.ndarray | None
) -> tuple[dict[float, dict[str, Chosen]], dict[str, dict[float, list[float]]], dict[float, Band]]:
    """What methods choose by the means over seeds, what each seed's own choice is worth, and random ones."""
    if not isinstance(study.measures.get("networks"), Networks):
        return {}, {}, {}
    tasks, sets = study.tasks, _sets(study)
    mean = choices.candidates(study, sets, importance, study.seeds)
    over_seeds = None if affinity is None else affinity.mean(axis=0)
    chosen = {budget: choices.choices(mean, budget, over_seeds, tasks) for budget in budgets}
    curves: dict[str, dict[float, list[float]]] = {}
    bands: dict[float, list[Band]] = {}
    for i, seed in enumerate(study.seeds):
        found = choices.candidates(study, sets, importance, [seed])
        for budget in budgets:
            own = choices.choices(found, budget, None if affinity is None else affinity[i], tasks)
            for method, one in own.items():
                curves.setdefault(method, {}).setdefault(budget, []).append(one.loss)
            bands.setdefault(budget, []).append(choices.at_random(found, budget, tasks))
    random = {
        budget: (float(np.mean([b[0] for b in each])), min(b[1] for b in each), max(b[2] for b in each))
        for budget, each in bands.items()
    }
    return chosen, curves, random


def _surrogate(
    study: Study,
    budgets: Sequence[float],
    importance: Mapping[str, float],
    chosen: dict[float, dict[str, Chosen]],
) -> tuple[float, float]:
    """Adds what a linear fit chooses; its mean absolute error on validation, where it was fitted and elsewhere."""
    measure = study.measures["surrogate"]
    number = measure.sets if isinstance(measure, Surrogate) else 0
    seen = {*((task,) for task in study.tasks), *plan.random_sets(study.tasks, number)}
    trained: Candidates = choices.candidates(study, _sets(study), importance, study.seeds)
    full = [one for one in trained.validation if one.cost == 1]
    fitted = [one for one in full if tuple(sorted(one.tasks)) in seen]
    predicted = choices.fit_surrogate(fitted, study.tasks)
    halves = [one for one in trained.validation if one.cost < 1]
    for budget in budgets:
        try:
            one = choices.predicted([*halves, *predicted], budget, trained.test)
        except UserError:
            continue  # nothing that it knows of is as cheap
        chosen.setdefault(budget, {})[choices.SURROGATE] = one
    by_tasks = {one.tasks: one for one in predicted}

    def error(networks: Sequence[choices.Network]) -> float:
        off = [abs(by_tasks[one.tasks].losses[t] - loss) for one in networks for t, loss in one.losses.items()]
        return float(np.mean(off)) if off else float("nan")

    return error(fitted), error([one for one in full if one not in fitted])
