"""What is concluded from transfers: affinities, gain and quality, and what to learn in full for a budget."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from mtljax import relations
from mtljax.relations.taxonomy import RANDOM, SELF, Sources, Taxonomy
from mtljax.studies.comparison.plan import Job
from mtljax.studies.relate import plan
from mtljax.studies.relate.plan import Study
from mtljax.studies.relate.results import image_losses, own_losses, split_losses

Named = Mapping[Sources, float]


@dataclasses.dataclass(frozen=True)
class Transfers:
    """Transfers into every target, measured; of several seeds the means.

    Attributes:
        affinities: target -> sources of a transfer -> affinity by AHP, of validation images; 1 in all.
        gains: target -> sources -> share of test images where it beats the network from scratch on as little data.
        qualities: target -> sources -> share of test images where it beats the target's own full network.
        losses: target -> sources -> loss on test over that of the target's own full network.
        left_out: target -> validation images of all seeds without a label, which are in no tournament.
        first: (seeds, T, T) [source][target] affinities of first order, `self` on the diagonal.
        before: (T, T) [source][target] shares of the inverse losses, before AHP.
    """

    affinities: Mapping[str, Named]
    gains: Mapping[str, Named]
    qualities: Mapping[str, Named]
    losses: Mapping[str, Named]
    left_out: Mapping[str, int]
    first: np.ndarray
    before: np.ndarray


def higher_jobs(study: Study) -> list[Job]:
    """Readouts from several encoders: combinations of each target's best first-order sources, over all seeds."""
    best = {}
    for target in study.tasks:
        affinities = _mean([_affinities(study, target, _of_first_order(study, target, seed)) for seed in study.seeds])
        tasks = [named[0] for named in affinities if named not in ((SELF,), (RANDOM,))]
        best[target] = sorted(tasks, key=lambda task: -affinities[(task,)])
    sets = plan.combined(study, best)
    return [
        plan.readout(study, target, sources, seed)
        for target, combinations in sets.items()
        for sources in combinations
        for seed in study.seeds
    ]


def measured(study: Study) -> Transfers:
    """Reads and compares all transfers.

    Raises:
        UserError: where a run has not left its losses.
    """
    higher = higher_jobs(study)
    affinities, gains, qualities, losses, left_out = {}, {}, {}, {}, {}
    for target in study.tasks:
        seeds = [_of_first_order(study, target, seed) | _of_higher(study, target, seed, higher) for seed in study.seeds]
        affinities[target] = _mean([_affinities(study, target, jobs) for jobs in seeds])
        left_out[target] = sum(
            int(np.isnan(_images(study, target, jobs, "validation")).any(axis=0).sum()) for jobs in seeds
        )
        pairs = list(zip(study.seeds, seeds, strict=True))
        gains[target] = _mean([_beats(study, target, jobs, plan.scratch(study, target, seed)) for seed, jobs in pairs])
        qualities[target] = _mean([_beats(study, target, jobs, jobs[(SELF,)]) for _, jobs in pairs])
        losses[target] = _mean([_over_own(study, target, jobs) for jobs in seeds])
    first = np.stack([_first(study, seed) for seed in study.seeds])
    before = np.mean([_before(study, seed) for seed in study.seeds], axis=0)
    return Transfers(affinities, gains, qualities, losses, left_out, first, before)


def taxonomies(found: Transfers, budgets: Sequence[float], importance: Mapping[str, float]) -> dict[float, Taxonomy]:
    """Budget -> what to learn in full, and the transfer into each target."""
    return {budget: relations.taxonomy(found.affinities, budget, importance=importance) for budget in budgets}


def worth(found: Transfers, chosen: Taxonomy) -> dict[str, float]:
    """Target -> loss on test of the transfer that was chosen, over that of the target's own full network."""
    return {target: found.losses[target][named] for target, named in chosen.transfers.items()}


def _of_first_order(study: Study, target: str, seed: int) -> dict[Sources, Job]:
    """The transfers into a target from its own network, from each other task's and from an untrained one."""
    others = [task for task in study.tasks if task != target]
    return {
        (SELF,): plan.network(study, (target,), seed),
        **{(source,): plan.readout(study, target, [source], seed) for source in others},
        (RANDOM,): plan.readout(study, target, study.tasks[:1], seed, untrained=True),
    }


def _of_higher(study: Study, target: str, seed: int, jobs: Sequence[Job]) -> dict[Sources, Job]:
    sets = (one for one in plan.all_sets(study.tasks) if len(one) > 1 and target not in one)
    known = {plan.readout(study, target, sources, seed): sources for sources in sets}
    return {known[job]: job for job in jobs if job in known}


def _images(study: Study, target: str, jobs: Mapping[Sources, Job], split: str) -> np.ndarray:
    """(S, N) losses of transfers on the same images."""
    return np.stack([image_losses(study, job, split, target) for job in jobs.values()])


def _labelled(losses: np.ndarray) -> np.ndarray:
    """The losses on those images that all transfers have one of."""
    return losses[:, ~np.isnan(losses).any(axis=0)]


def _affinities(study: Study, target: str, jobs: Mapping[Sources, Job]) -> dict[Sources, float]:
    losses = _labelled(_images(study, target, jobs, "validation"))
    weights = relations.ahp(relations.tournament(losses)).weights
    return dict(zip(jobs, map(float, weights), strict=True))


def _beats(study: Study, target: str, jobs: Mapping[Sources, Job], other: Job) -> dict[Sources, float]:
    """Share of test images where each transfer beats another run, ties half."""
    losses = _images(study, target, {**jobs, ("",): other}, study.test)
    losses = _labelled(losses)
    return dict(zip(jobs, map(float, relations.gain(losses[:-1], losses[-1])), strict=True))


def _over_own(study: Study, target: str, jobs: Mapping[Sources, Job]) -> dict[Sources, float]:
    own = own_losses(study, jobs[(SELF,)], study.test)[target]
    return {named: split_losses(study, job, study.test)[target] / own for named, job in jobs.items()}


def _first(study: Study, seed: int) -> np.ndarray:
    columns = [_affinities(study, target, _of_first_order(study, target, seed)) for target in study.tasks]
    return _matrix(study, columns)


def _before(study: Study, seed: int) -> np.ndarray:
    columns = []
    for target in study.tasks:
        jobs = _of_first_order(study, target, seed)
        inverse = {named: 1 / max(split_losses(study, job, "validation")[target], 1e-12) for named, job in jobs.items()}
        total = sum(inverse.values())
        columns.append({named: value / total for named, value in inverse.items()})
    return _matrix(study, columns)


def _matrix(study: Study, columns: Sequence[Named]) -> np.ndarray:
    """(T, T) [source][target] of a column a target, `self` on the diagonal."""
    rows = [
        [
            column[(SELF,)] if source == target else column[(source,)]
            for target, column in zip(study.tasks, columns, strict=True)
        ]
        for source in study.tasks
    ]
    return np.array(rows)


def _mean(found: Sequence[Named]) -> dict[Sources, float]:
    """The mean over seeds of what all of them have."""
    return {
        named: float(np.mean([one[named] for one in found])) for named in found[0] if all(named in one for one in found)
    }
