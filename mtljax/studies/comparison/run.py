"""Values of a config key, such as balancers, compared on one config: each with every seed is a run of its own."""

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import ml_collections

from mtljax.errors import UserError, unknown
from mtljax.report.reading.earlier import earlier_figures
from mtljax.studies.comparison import earlier, gather, notes, plan
from mtljax.studies.comparison.board import Board
from mtljax.studies.comparison.check import refuse_other
from mtljax.studies.comparison.devices import shares as device_shares
from mtljax.studies.comparison.here import Here
from mtljax.studies.comparison.metrics import metrics_of
from mtljax.studies.comparison.pool import Pool
from mtljax.studies.comparison.told import Told
from mtljax.studies.comparison.values import BALANCE, keys_of
from mtljax.train.config import default as run_config
from mtljax.train.run import config_file
from mtljax.train.spread import hosts


def run(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    methods: str,
    seeds: int,
    *,
    vary: str | None = None,
    shares: str | None = None,
    jobs: int = 0,
    devices_per_job: int | None = None,
    simulate_devices: int | None = None,
    part: str | None = None,
    retry_failed: bool = False,
    baseline: str | None = None,
    metrics: Sequence[str] = (),
    allow_config_change: bool = False,
    arguments: Sequence[str] = (),
) -> int:
    """Trains the config with every method and seed that the workdir has no figures of; then gathers what is there.

    Each run has a folder of its own, with all that a training leaves and with `job.json`, which says how it ended. What
    is in the workdir itself is gathered from them, after every run and at the end. A run that diverges or dies is noted
    and the others go on. A stopped comparison goes on where it was, by the same command; several commands at once on
    one workdir share the work.

    Args:
        config: of a training run; its `seed` is the first.
        workdir: where to leave everything.
        methods: values of `vary` with ; between them; `single` stands for a network a task, each trained alone. Of two
            keys, values with | between them: `'equal()|shared;pcgrad()|features'`.
        seeds: how many.
        vary: the config's key that methods are values of, such as `model` or `optimizers.stitch`, or several with
            commas between them; by default, what varies in the workdir, else `balance`.
        shares: of the training examples to train with, ; between them; by default the config's.
        jobs: child processes that train at once; 0 to train in this one.
        devices_per_job: devices of each child; by default all there are are shared out.
        simulate_devices: CPU devices that are simulated in all, for children.
        part: `i/n`, to train the i-th n-th of the jobs alone.
        retry_failed: whether runs that failed or were killed are tried again: the former anew, the latter from their
            newest checkpoints.
        baseline: the method that the others are held against; by default `single` where it is there.
        metrics: `<task>/<metric>`, that tables show; by default each task's primary one.
        allow_config_change: whether to go on in a workdir of another config.
        arguments: of the command line that this is, which children repeat.

    Returns:
        How many of the runs failed, of those that this command asks for.

    Raises:
        UserError: for any mistake in the input, before anything is trained.
        mtljax.train.run.loop.Stopped: after a signal, when the state of every run at hand is saved.
    """
    config = run_config.checked(config)
    refuse_other(workdir)
    vary = vary or _varied(workdir) or BALANCE
    chosen = plan.methods_of(config, vary, methods)
    _check_baseline(baseline, chosen, workdir)
    tasks = metrics_of(config)
    _check_metrics(metrics, tasks)
    if BALANCE in keys_of(config, vary):
        _check_no_groups(config)
        config.balance = "equal()"  # of `single`
    wanted = _jobs(config, workdir, vary, chosen, seeds, shares)
    wanted = plan.part_of(wanted, part) if part else wanted
    config = _as_there(config, workdir)
    config_file.refuse_change(config, workdir, allow_change=allow_config_change)
    hosts.agreed(lambda: earlier.adopt(workdir, vary, tasks) if hosts.first() else None)  # before any host looks
    board = Board(workdir, wanted, retry_failed=retry_failed)
    told = Told(board, lambda: gather.write(workdir, baseline=baseline, metrics=metrics))
    if board.left:
        if jobs:
            shared = device_shares(jobs, devices_per_job, simulate_devices)[: len(board.left)]
            runner = Pool(config, workdir, shared, arguments=arguments, allow_config_change=allow_config_change)
        else:
            runner = Here(config, workdir, allow_config_change=allow_config_change)
        with runner:
            for line in hosts.agreed(lambda: runner.check(board.left)):
                told.line(f"warning: {line}")
            hosts.agreed(lambda: _settle(config, workdir, allow_config_change))
            with told:
                runner.train(board, told)
    return told.end()


def _settle(config: ml_collections.ConfigDict, workdir: pathlib.Path, allow_change: bool) -> None:
    if hosts.first():
        config_file.settle(config, workdir, allow_change=allow_change)


def _check_no_groups(config: ml_collections.ConfigDict) -> None:
    if config.balance_groups:
        raise UserError(
            "config.balance_groups stands in the place of config.balance, which --methods are values of; name groups "
            "among them: per_group([('encoder/conv1.*', pcgrad()), ('.*', equal())])."
        )


def _jobs(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    vary: str,
    chosen: Mapping[str, str],
    seeds: int,
    shares: str | None,
) -> list[plan.Job]:
    """The jobs that are asked for, none of which stands in the folder of another."""
    first = cast(int, config.seed)
    wanted = plan.jobs_of(config, vary, chosen, range(first, first + seeds), plan.shares_of(config, shares))
    for job in wanted:
        notes.refuse_another(workdir, job)
    return wanted


def _varied(workdir: pathlib.Path) -> str | None:
    """What varies in a workdir; None where nothing does, or several things do."""
    found = {str(job["vary"]) for job in notes.jobs_there(workdir) if "vary" in job}
    return found.pop() if len(found) == 1 else None


def _check_baseline(baseline: str | None, chosen: Iterable[str], workdir: pathlib.Path) -> None:
    there = {str(job["method"]) for job in notes.jobs_there(workdir)} | set(earlier_figures(workdir))
    if baseline is not None and baseline not in (known := {*chosen, *there}):
        raise unknown("method as --baseline:", baseline, known)


def _check_metrics(metrics: Iterable[str], tasks: Mapping[str, Any]) -> None:
    known = [f"{task}/{name}" for task, about in tasks.items() for name in about["metrics"]]
    for metric in metrics:
        if metric not in known:
            raise unknown("metric in --metrics:", metric, known)


def _as_there(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> ml_collections.ConfigDict:
    """The config with the seed that stands in the workdir: runs have their own, and later commands may add some."""
    file = workdir / config_file.CONFIG_FILE
    if file.exists():
        config = ml_collections.ConfigDict(config.to_dict())
        config.seed = config_file.load(file).get("seed", 0)
    return run_config.checked(config)
