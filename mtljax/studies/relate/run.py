"""A study of how a config's tasks are related: what its measures want is trained, then concluded from."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import ml_collections

from mtljax.errors import UserError
from mtljax.studies.comparison import notes
from mtljax.studies.comparison.board import Board
from mtljax.studies.comparison.devices import shares as device_shares
from mtljax.studies.comparison.here import Here
from mtljax.studies.comparison.notes import DONE, HELD
from mtljax.studies.comparison.plan import Job, config_of
from mtljax.studies.comparison.pool import Pool
from mtljax.studies.comparison.told import Told
from mtljax.studies.relate import check, last_layers, leave, measures, plan, transfers
from mtljax.studies.relate.half import Half, built_here, half_of
from mtljax.studies.relate.measures import Measure, Networks
from mtljax.studies.relate.plan import Study
from mtljax.train.config.default import RunConfig, checked
from mtljax.train.run import config_file
from mtljax.train.spread import hosts

HALVES = "halves.json"


def run(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    relations: str,
    *,
    budgets: str | None = None,
    importance: str | None = None,
    seeds: int = 1,
    yes: bool = False,
    jobs: int = 0,
    devices_per_job: int | None = None,
    simulate_devices: int | None = None,
    retry_failed: bool = False,
    allow_config_change: bool = False,
    arguments: Sequence[str] = (),
) -> int:
    """Measures how the tasks of a config are related, and says what to train together.

    Every network and readout is an ordinary run in a folder of its own, shared by all measures that look at it. A
    stopped study goes on where it was, by the same command; a measure that is named later adds what is missing, and
    what was concluded before stays.

    Args:
        config: of a training run of all tasks; its `seed` is the first.
        workdir: where to leave everything.
        relations: measures as call-strings, ; between them; see `measures`.
        budgets: to choose networks and transfers for, ; between them; by default `1;1.5;2;3`.
        importance: of tasks, `'depth=2;edges=0.5'`; by default 1.
        seeds: how many.
        yes: whether as many trainings are meant as all sets of eight tasks or more want.
        jobs: child processes that train at once; 0 to train in this one.
        devices_per_job: devices of each child; by default all there are are shared out.
        simulate_devices: CPU devices that are simulated in all, for children.
        retry_failed: whether runs that failed or were killed are tried again.
        allow_config_change: whether to go on in a workdir of another config.
        arguments: of the command line that this is, which children repeat.

    Returns:
        How many runs failed; nothing is concluded where one did.

    Raises:
        UserError: for any mistake in the input, before anything is trained.
        mtljax.train.run.loop.Stopped: after a signal, when the state of every run at hand is saved.
    """
    asked, costs = measures.measures_of(relations), measures.budgets_of(budgets)
    study = _study(checked(config), workdir, asked, seeds)
    weights = measures.importance_of(importance, dict.fromkeys(study.tasks))
    check.refuse_other(study)
    config_file.refuse_change(study.config, workdir, allow_change=allow_config_change)
    study = _with_halves(study)
    check.check(study, costs, yes=yes)

    pool = None if not jobs else _Children(jobs, devices_per_job, simulate_devices, tuple(arguments))
    training = _Training(study, pool, retry_failed, allow_config_change)
    failed = training.first(plan.first_jobs(study)) or training.more(plan.transfer_jobs(study))
    if not failed and "transfer" in study.measures:
        failed = training.more(transfers.higher_jobs(study))
    if failed:
        return failed
    covariance = last_layers.of_study(study)  # which takes all hosts
    if hosts.first():
        print(leave.write(study, costs, weights, covariance), flush=True)
    return 0


class _Children(NamedTuple):
    """How many child processes train, and on what."""

    jobs: int
    devices_per_job: int | None
    simulate_devices: int | None
    arguments: tuple[str, ...]


class _Training(NamedTuple):
    """What a study's jobs are trained by, in stages: a stage is known when that before it is done."""

    study: Study
    children: _Children | None
    retry_failed: bool
    allow_config_change: bool

    def first(self, wanted: list[Job]) -> int:
        """Trains the first jobs, after what is wrong with any has been told; returns how many failed."""
        return self.more(wanted, first=True)

    def more(self, wanted: list[Job], *, first: bool = False) -> int:
        """Trains the jobs that are not done; returns how many failed."""
        check.check_done(self.study, wanted)
        board = Board(self.study.workdir, wanted, retry_failed=self.retry_failed)
        told = Told(board, lambda: "")
        if first and not board.left:
            hosts.agreed(self._settled)
        if board.left:
            with self._runner(len(board.left)) as trains:
                some = check.representatives(self.study, board.left) if first else []
                for line in hosts.agreed(lambda: trains.check(some)) if first else ():
                    told.line(f"warning: {line}")
                if first:
                    hosts.agreed(self._settled)
                with told:
                    trains.train(board, told)
        if hosts.of_first(all(outcome.status == DONE for outcome in board.ended.values())):
            return 0
        if failed := told.end():
            return failed
        held = hosts.of_first(sum(outcome.status == HELD for outcome in board.ended.values()))
        raise UserError(f"{held} runs are held by other commands; when these are done, the same command goes on.")

    def _settled(self) -> None:
        if hosts.first():
            _settle(self.study, self.allow_config_change)

    def _runner(self, left: int) -> Here | Pool:
        study, change = self.study, self.allow_config_change
        if self.children is None:
            return Here(study.config, study.workdir, allow_config_change=change)
        jobs, each, simulated, arguments = self.children
        shared = device_shares(jobs, each, simulated)[:left]
        return Pool(study.config, study.workdir, shared, arguments=arguments, allow_config_change=change)


def _study(config: RunConfig, workdir: pathlib.Path, asked: dict[str, Measure], seeds: int) -> Study:
    """The study with the measures that were concluded before, and the seed that stands in its workdir."""
    file = workdir / config_file.CONFIG_FILE
    if file.exists():
        config = checked(ml_collections.ConfigDict(config.to_dict() | {"seed": config_file.load(file).get("seed", 0)}))
    before = notes.read_json(workdir / leave.RESULTS).get("measures") or []
    known = measures.measures_of(";".join(before)) if before else {}
    merged = known | asked
    first = config.seed
    ordered = {name: merged[name] for name in measures.MEASURES if name in merged}
    return Study(config, workdir, ordered, tuple(range(first, first + seeds)))


def _with_halves(study: Study) -> Study:
    """The study with the splits that its data has and, where networks are measured, those of half the FLOPs."""
    study = dataclasses.replace(study, splits=_splits(study.config))
    networks = study.measures.get("networks")
    if not isinstance(networks, Networks) or len(study.tasks) < 2:
        return study
    there = notes.read_json(study.workdir / HALVES)
    if there.get("half") == networks.half and set(there.get("tasks", ())) == set(study.tasks):
        return dataclasses.replace(study, halves={task: Half(**one) for task, one in there["tasks"].items()})
    halves = {}
    for task in study.tasks:
        alone = checked(config_of(study.config, plan.network(study, (task,), study.seeds[0])))
        halves[task] = half_of(alone, task, networks.half)
    return dataclasses.replace(study, halves=halves)


def _splits(config: RunConfig) -> tuple[str, ...]:
    """The splits that are judged on: `test` where the data has one."""
    data: Any = built_here(config.to_dict()).data
    try:
        return ("validation", "test") if len(data.split("test")) else ("validation",)
    except UserError:
        return ("validation",)


def _settle(study: Study, change: bool) -> None:
    config_file.settle(study.config, study.workdir, allow_change=change)
    networks = study.measures.get("networks")
    if isinstance(networks, Networks):
        halves = {task: vars(half) for task, half in study.halves.items()}
        notes.write_json(study.workdir / HALVES, {"half": networks.half, "tasks": halves})
