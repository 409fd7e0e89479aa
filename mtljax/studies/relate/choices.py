"""What is concluded from networks: which to train for a budget, by several methods, and what that is worth on test.

Losses are over those of a task's own network of full size on the same split, times the task's importance, so that no
task counts for more because of its units. They are summed over tasks.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mtljax import relations
from mtljax.relations import Network
from mtljax.studies.comparison.plan import Job
from mtljax.studies.relate import plan
from mtljax.studies.relate.plan import Set, Study
from mtljax.studies.relate.results import early_losses, own_losses, split_losses

RANDOM_DRAWS = 200
OPTIMAL, HOA, ESA, TAG, SURROGATE = "optimal", "HOA", "ESA", "TAG", "surrogate"
TOGETHER, ALONE, RANDOM = "all in one", "all alone", "random"


@dataclasses.dataclass(frozen=True)
class Candidates:
    """The networks of one seed, or the means of several, in one order.

    Attributes:
        validation: with their losses there.
        early: with those after a part of the training.
        test: with those on the split that choices are judged on.
    """

    validation: Sequence[Network]
    early: Sequence[Network]
    test: Sequence[Network]


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What a method chooses for a budget.

    Attributes:
        networks: tasks of each and what it costs, `segment + depth (1)`.
        cost: of them all.
        losses: of each task on test; None where a network was chosen that nobody trained.
    """

    networks: tuple[str, ...]
    cost: float
    losses: Mapping[str, float] | None

    @property
    def loss(self) -> float:
        """Sum over the tasks; NaN where not all was trained."""
        return float("nan") if self.losses is None else float(sum(self.losses.values()))


def candidates(study: Study, sets: Sequence[Set], importance: Mapping[str, float], seeds: Sequence[int]) -> Candidates:
    """The trained networks with the means over seeds of their losses.

    Args:
        study: that is at hand.
        sets: of tasks, of networks of full size.
        importance: of each task.
        seeds: over which losses are averaged.
    """

    def of(losses: Callable[[Job], Mapping[str, float]], split: str) -> list[Network]:
        found = []
        for cost, job_of in _jobs(study, sets):
            each = [_relative(study, losses(job_of(seed)), split, seed, importance) for seed in seeds]
            found.append(Network({task: float(np.mean([one[task] for one in each])) for task in each[0]}, cost))
        return found

    return Candidates(
        validation=of(lambda job: split_losses(study, job, "validation"), "validation"),
        early=of(lambda job: early_losses(study, job), "validation"),
        test=of(lambda job: split_losses(study, job, study.test), study.test),
    )


def _jobs(study: Study, sets: Sequence[Set]) -> list[tuple[float, Callable[[int], Job]]]:
    """Cost, and the run of a seed, of every candidate: halves first."""
    halves = [(half.share, lambda seed, task=task: plan.half(study, task, seed)) for task, half in study.halves.items()]
    return [*halves, *((1.0, lambda seed, one=one: plan.network(study, one, seed)) for one in sets)]


def _relative(
    study: Study, losses: Mapping[str, float], split: str, seed: int, importance: Mapping[str, float]
) -> dict[str, float]:
    alone = {task: own_losses(study, plan.network(study, (task,), seed), split)[task] for task in losses}
    return {task: importance[task] * loss / alone[task] for task, loss in losses.items()}


def choices(found: Candidates, budget: float, affinity: np.ndarray | None, tasks: Set) -> dict[str, Chosen]:
    """Method -> what it chooses for a budget, of those that can.

    Args:
        found: the candidates.
        budget: the most that networks may cost.
        affinity: (T, T) [source][target] of a look-ahead, for TAG, which wants one of every pair; None where there is
            none.
        tasks: its rows and columns.
    """
    chosen = {
        OPTIMAL: _by_program(found.validation, budget, found.test),
        ESA: _by_program(found.early, budget, found.test),
        HOA: _by_program(relations.higher_order(found.validation), budget, found.test),
    }
    if affinity is not None and len(tasks) > 1 and _is_of_all_pairs(affinity) and budget >= 1:
        chosen[TAG] = _by_groups(affinity, tasks, int(budget + 1e-9), found.test)
    if budget >= 1 - 1e-9:
        chosen[TOGETHER] = _taken([one for one in found.test if len(one.losses) == len(tasks)][:1])
    alone = [one for one in found.test if len(one.losses) == 1]
    for full in (True, False):
        same = [one for one in alone if (one.cost == 1) == full]
        if len(same) == len(tasks) and sum(one.cost for one in same) <= budget + 1e-9:
            chosen[ALONE] = _taken(same)
            break
    return chosen


def _is_of_all_pairs(affinity: np.ndarray) -> bool:
    """Whether every two tasks have one: those that are never in one batch have none."""
    return bool(np.isfinite(affinity[~np.eye(len(affinity), dtype=bool)]).all())


def predicted(found: Sequence[Network], budget: float, test: Sequence[Network]) -> Chosen:
    """What the integer program chooses among networks whose losses were predicted, such as by `fit_surrogate`."""
    return _by_program(found, budget, test)


def at_random(found: Candidates, budget: float, tasks: Set, seed: int = 0) -> tuple[float, float, float]:
    """Mean, least and greatest loss on test of networks that are chosen at random until nothing more is affordable."""
    rng, losses = np.random.default_rng(seed), []
    for _ in range(RANDOM_DRAWS):
        left, taken = budget + 1e-9, []
        for place in rng.permutation(len(found.test)):
            if found.test[place].cost <= left:
                left -= found.test[place].cost
                taken.append(found.test[place])
        if {task for one in taken for task in one.losses} == set(tasks):
            losses.append(sum(relations.judge(taken, taken).values()))
    none = float("nan")
    return (float(np.mean(losses)), min(losses), max(losses)) if losses else (none, none, none)


def fit_surrogate(measured: Sequence[Network], tasks: Set) -> list[Network]:
    """Networks of every set of tasks, with losses by a linear fit for each task on who else is in the set.

    Args:
        measured: trained ones of full size; of each task there is one alone.
        tasks: all of them.
    """
    rows = {task: [one for one in measured if task in one.losses] for task in tasks}
    fits = {
        task: np.linalg.lstsq(
            np.stack([_members(one.losses, tasks, task) for one in of]), [one.losses[task] for one in of], rcond=None
        )[0]
        for task, of in rows.items()
    }
    sets = plan.all_sets(tasks)
    return [Network({task: float(_members(one, tasks, task) @ fits[task]) for task in one}) for one in sets]


def _members(members: Mapping[str, float] | Set, tasks: Set, task: str) -> np.ndarray:
    """1, then for every other task whether it is in a set."""
    return np.array([1.0, *(float(other in members) for other in tasks if other != task)])


def _by_program(known: Sequence[Network], budget: float, test: Sequence[Network]) -> Chosen:
    choice = relations.choose_networks(known, budget)
    serves = {task: known[place] for task, place in choice.serves.items()}
    return _served(choice.networks, serves, test)


def _by_groups(affinity: np.ndarray, tasks: Set, most: int, test: Sequence[Network]) -> Chosen:
    found = relations.group(affinity, tasks, most)
    networks = {one: Network(dict.fromkeys(one, 0.0)) for one in found.groups}
    return _served(list(networks.values()), {task: networks[one] for task, one in found.serves.items()}, test)


def _served(networks: Sequence[Network], serves: Mapping[str, Network], test: Sequence[Network]) -> Chosen:
    """Networks, and which of them each task is taken from, judged where all that serve were trained."""
    trained = {(one.tasks, one.cost): one for one in test}
    judged = {task: trained.get((one.tasks, one.cost)) for task, one in serves.items()}
    losses = {task: one.losses[task] for task, one in judged.items() if one is not None}
    cost = sum(one.cost for one in networks)
    return Chosen(tuple(map(_told, networks)), cost, losses if len(losses) == len(serves) else None)


def _taken(networks: Sequence[Network]) -> Chosen:
    """Some trained networks, each task from the one that is best on it: they have no task in common."""
    losses = dict(itertools.chain(*(one.losses.items() for one in networks)))
    return Chosen(tuple(map(_told, networks)), sum(one.cost for one in networks), losses)


def _told(network: Network) -> str:
    """Its tasks and its cost."""
    return f"{' + '.join(network.losses)} ({network.cost:.3g})"
