"""The trainings of a study of relations: which networks and readouts its measures want, each an ordinary run."""

import dataclasses
import itertools
import json
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from mtljax.studies.comparison.plan import Job
from mtljax.studies.comparison.values import folder_of
from mtljax.studies.relate.half import Half, built_here
from mtljax.studies.relate.measures import Covariance, Lookahead, Measure, Networks, Surrogate, Transfer
from mtljax.train.config.default import RunConfig
from mtljax.train.run.features import level_shapes

VARY = "relations"  # what jobs of a study are noted to vary
FEATURES, READOUT = "mtljax.train.run.features:frozen_features", "mtljax.models.readout:Readout"
Shape = tuple[int, ...]
BEST = 5  # first-order sources of a target that are combined
Set = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Study:
    """What a command asks for.

    Attributes:
        config: of the network of all tasks.
        workdir: of the study.
        measures: name -> measure.
        seeds: of every training.
        splits: whose images are judged: `validation`, and `test` where the data has it.
        halves: task -> network of half the FLOPs, where networks are measured.
    """

    config: RunConfig
    workdir: pathlib.Path
    measures: Mapping[str, Measure]
    seeds: tuple[int, ...]
    splits: tuple[str, ...] = ("validation",)
    halves: Mapping[str, Half] = dataclasses.field(default_factory=dict)

    @property
    def tasks(self) -> Set:
        """All tasks, in the alphabetical order of losses."""
        return tuple(sorted(self.config.tasks))

    @property
    def early(self) -> int:
        """The step at which networks are evaluated early, and of which it is a multiple where they are again."""
        networks = self.measures.get("networks")
        share = networks.early if isinstance(networks, Networks) else Networks().early
        return max(1, round(share * self.config.steps))

    @property
    def test(self) -> str:
        """The split that choices are judged on."""
        return self.splits[-1]


def sets_of(study: Study) -> list[Set]:
    """The sets of tasks of which a network of full size is trained: the smallest first."""
    tasks, wanted = study.tasks, set()
    for measure in study.measures.values():
        wanted |= set(_sets(measure, tasks))
    return [one for one in all_sets(tasks) if one in wanted]


def all_sets(tasks: Set) -> list[Set]:
    """Every set of tasks, the smallest first."""
    return [one for size in range(1, len(tasks) + 1) for one in itertools.combinations(tasks, size)]


def _sets(measure: Measure, tasks: Set) -> Iterable[Set]:
    singles, pairs = [(task,) for task in tasks], itertools.combinations(tasks, 2)
    match measure:
        case Transfer():
            return singles
        case Networks(sets="all"):
            return all_sets(tasks)
        case Networks():
            return [*singles, *pairs, tasks]
        case Surrogate(sets=number):
            return [*singles, *random_sets(tasks, number)]
        case Covariance():
            return [tasks]
        case Lookahead():
            return []


def random_sets(tasks: Set, number: int) -> list[Set]:
    """So many sets of two tasks or more, or all there are, at random: the same ones each time, and the first of more.

    Example:
        >>> random_sets(("a", "b", "c"), 9)
        [('a', 'b', 'c'), ('b', 'c'), ('a', 'c'), ('a', 'b')]
    """
    larger = [one for one in all_sets(tasks) if len(one) > 1]
    order = np.random.default_rng(len(tasks)).permutation(len(larger))
    return [larger[i] for i in order[:number]]


def network(study: Study, tasks: Set, seed: int) -> Job:
    """The network of full size of a set of tasks."""
    changes = {**_of_tasks(study, {task: study.config.tasks[task] for task in tasks}), "eval_every": study.early}
    return _job(study, f"network of {' + '.join(tasks)}", f"networks/{_folder(tasks)}", seed, changes)


def half(study: Study, task: str, seed: int) -> Job:
    """The network of one task of half the FLOPs."""
    found = study.halves[task]
    changes = {**_of_tasks(study, {task: found.task}), "model": found.model, "eval_every": study.early}
    return _job(study, f"half a network of {task}", f"halves/{_folder((task,))}", seed, changes)


def lookahead(study: Study, seed: int) -> Job:
    """The run of all tasks in which what steps do is looked at."""
    every = cast(Lookahead, study.measures["lookahead"]).every
    changes = {**_of_tasks(study, dict(study.config.tasks)), "cosines_every": every, "affinity_every": every}
    changes["eval_every"] = study.config.steps
    return _job(study, f"look-ahead every {every} steps", f"lookahead/every-{every}", seed, changes)


def readout(study: Study, target: str, sources: Sequence[str], seed: int, *, untrained: bool = False) -> Job:
    """A readout of a target from the features of other tasks' networks, or of one that nobody trained."""
    transfer = cast(Transfer, study.measures["transfer"])
    runs = [str(study.workdir / network(study, (source,), seed).folder) for source in sources]
    text = study.config.data
    levels, size = shapes_of(study.config, len(runs))
    changes = {
        **_little(study, target),
        "data": f"{FEATURES}({text}, {runs!r}{', untrained=True' if untrained else ''})",
        "model": f"{READOUT}(levels={levels!r}, size={size!r})",
        "augment": "",
        "pretrained": "",
        "init_from": "",
        "dtype": "float32",
        "panel_images": 0,
    }
    name = "random" if untrained else " + ".join(sources)
    place = f"readouts/{_folder((target,))}/from-{_folder((name,))}"
    return _job(study, f"readout of {target} from {name}", place, seed, changes, transfer.share)


def scratch(study: Study, target: str, seed: int) -> Job:
    """The network of a target trained from scratch on as little data as readouts see."""
    share = cast(Transfer, study.measures["transfer"]).share
    return _job(study, f"{target} from scratch", f"scratch/{_folder((target,))}", seed, _little(study, target), share)


def _little(study: Study, target: str) -> dict[str, Any]:
    """What readouts and networks from scratch have in common."""
    given = cast(Transfer, study.measures["transfer"]).readout
    own = {key: value for key, value in given.items() if not key.startswith("tasks.")}
    text = given.get(f"tasks.{target}", study.config.tasks[target])
    steps = own.get("steps", study.config.steps)
    return {**_of_tasks(study, {target: text}), "eval_every": steps, **own}


def _of_tasks(study: Study, tasks: Mapping[str, str]) -> dict[str, Any]:
    """The changes of a config that leave some of its tasks."""
    kept = {
        group: text
        for group, text in study.config.optimizers.items()
        if group in tasks or group not in study.config.tasks
    }
    changes: dict[str, Any] = {"tasks": dict(tasks), "optimizers": kept, "cosines_every": 0}
    changes |= {key: 0 for key in ("affinity_every",) if key in study.config}
    if str(study.config.get("keep_best", "delta_m")).split("/")[0] not in ("delta_m", *tasks):
        changes["keep_best"] = ""  # by another task's metric
    alone: dict[str, Any] = {"balance": "equal()", "balance_groups": (), "measure": "shared"}
    return changes | ({key: alone[key] for key in alone if key in study.config} if len(tasks) == 1 else {})


def _job(study: Study, name: str, place: str, seed: int, changes: Mapping[str, Any], share: float = 1.0) -> Job:
    share *= study.config.train_share
    judged, text = ",".join(study.splits), json.dumps(changes, sort_keys=True)
    return Job(VARY, name, seed, place, None, share, text, judged)


def _folder(names: Sequence[str]) -> str:
    return folder_of({VARY: "+".join(names)})


def shapes_of(config: RunConfig, number: int) -> tuple[tuple[Shape, ...], tuple[int, int] | None]:
    """Shapes of the levels of features of one image, of so many encoders, and (H, W) of the image, if it has pixels."""
    key = f"levels of {config.model} on {config.data}"
    if key not in _known:
        _known[key] = _shapes(config)
    shapes, size = _known[key]
    return tuple((*shape[:-1], shape[-1] * number) for shape in shapes), size


_known: dict[str, tuple[tuple[Shape, ...], tuple[int, int] | None]] = {}


def _shapes(config: RunConfig) -> tuple[tuple[Shape, ...], tuple[int, int] | None]:
    return level_shapes(built_here(config.to_dict()))


def first_jobs(study: Study) -> list[Job]:
    """All networks: what readouts are of, choices are among, and what transfers are held against."""
    jobs: list[Job] = []
    for seed in study.seeds:
        jobs += [network(study, tasks, seed) for tasks in sets_of(study)]
        jobs += [half(study, task, seed) for task in study.halves]
        jobs += [lookahead(study, seed)] if "lookahead" in study.measures else []
        jobs += [scratch(study, task, seed) for task in study.tasks] if "transfer" in study.measures else []
    return jobs


def transfer_jobs(study: Study) -> list[Job]:
    """Readouts from one encoder, and from one that nobody trained."""
    if "transfer" not in study.measures:
        return []
    tasks, jobs = study.tasks, []
    for target in study.tasks:
        for seed in study.seeds:
            jobs += [readout(study, target, [source], seed) for source in tasks if source != target]
            jobs.append(readout(study, target, tasks[:1], seed, untrained=True))
    return jobs


def combined(study: Study, best: Mapping[str, Sequence[str]]) -> dict[str, list[Set]]:
    """Target -> the sources of each of its transfers of order 2 and up.

    Args:
        study: that is at hand.
        best: target -> its sources, the best first-order one first.
    """
    order = cast(Transfer, study.measures["transfer"]).order
    return {
        target: [
            one
            for size in range(2, min(order, len(sources)) + 1)
            for one in itertools.combinations(sorted(sources[:BEST]), size)
        ]
        for target, sources in best.items()
    }


def number_of(study: Study) -> int:
    """How many trainings the measures want in all, those of an order above 1 too."""
    count = len(first_jobs(study)) + len(transfer_jobs(study))
    transfer = study.measures.get("transfer")
    if isinstance(transfer, Transfer):
        sources = min(BEST, len(study.tasks) - 1)
        each = sum(math.comb(sources, size) for size in range(2, transfer.order + 1))
        count += len(study.seeds) * len(study.tasks) * each
    return count
