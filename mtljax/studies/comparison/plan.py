"""The jobs of a comparison: which runs a command asks for, with which config, in which folder."""

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import ml_collections

from mtljax.errors import UserError
from mtljax.report.runs import SINGLE
from mtljax.studies.comparison.values import folder_of, keys_of, values_of, with_values
from mtljax.train.config.default import checked
from mtljax.train.config.experiment import tasks_of

SHARE = "train_share"  # the config's key for the share of the training examples


@dataclasses.dataclass(frozen=True)
class Job:
    """One training run of a comparison.

    Attributes:
        vary: the config's key, or keys with commas between them, that the method is a value of.
        method: value of the key; or `single`.
        seed: of the run.
        place: the method's folder, in that of the comparison.
        task: that a single network is of, with the tasks that it depends on; None where all are trained together.
        share: of the training examples.
        changes: what else is other than in the config, dotted keys as JSON; the method is then a name alone.
        judged: splits, commas between them, of which the loss of every image is kept (`image_losses`).
    """

    vary: str
    method: str
    seed: int
    place: str
    task: str | None = None
    share: float = 1.0
    changes: str = ""
    judged: str = ""

    @property
    def folder(self) -> str:
        """Where it leaves everything, in the folder of the comparison."""
        parts = [self.place, self.task, "" if self.share == 1 else f"share-{self.share:g}", f"seed-{self.seed}"]
        return "/".join(part for part in parts if part)

    @property
    def program(self) -> tuple[str, str | None]:
        """What jobs have in common that run the same compiled programs."""
        return self.place, self.task

    def __str__(self) -> str:
        task, share = f" ({self.task})" if self.task else "", "" if self.share == 1 else f", share {self.share:g}"
        return f"{self.method}{task}, seed {self.seed}{share}"


def methods_of(config: ml_collections.ConfigDict, vary: str, text: str) -> dict[str, str]:
    """Method -> its folder, of methods with ; between them.

    Raises:
        UserError: where there is none, or one of them is there twice or is no value of the key.
    """
    methods = [method.strip() for method in text.split(";") if method.strip()]
    if not methods:
        raise UserError("--methods is empty; expected call-strings with ; between them, such as 'equal();pcgrad()'.")
    keys, found = keys_of(config, vary), {}
    for method in methods:
        place = SINGLE if method == SINGLE else folder_of(values_of(config, keys, method))
        if place in found.values():
            raise UserError(f"--methods names {method!r} twice, or another of the same letters.")
        found[method] = place
    return found


def shares_of(config: ml_collections.ConfigDict, text: str | None) -> list[float]:
    """Shares of the training examples, with ; between them; that of the config where none is given.

    Raises:
        UserError: where one of them is no share, or there twice.

    Example:
        >>> shares_of(ml_collections.ConfigDict(), "0.25; 1"), shares_of(ml_collections.ConfigDict(), None)
        ([0.25, 1.0], [1.0])
    """
    own = _own_share(config)
    found: list[float] = []
    for part in filter(None, map(str.strip, (text or "").split(";"))):
        try:
            share = float(part)
        except ValueError:
            share = float("nan")
        if not 0 < share <= 1:
            raise UserError(f"--shares: {part!r} is no share of the training examples; expected above 0, to 1.")
        if f"{share:g}" in [f"{other:g}" for other in found]:
            raise UserError(f"--shares names {part!r} twice.")
        found.append(share)
    if text is not None and not found:
        raise UserError("--shares is empty; expected shares with ; between them, such as '0.1;0.25;0.5;1'.")
    return found or [own]


def jobs_of(
    config: ml_collections.ConfigDict,
    vary: str,
    methods: Mapping[str, str],
    seeds: Sequence[int],
    shares: Sequence[float],
) -> list[Job]:
    """The jobs of all methods, seeds and shares, in the order in which they are trained.

    Args:
        config: of the comparison.
        vary: the key that methods are values of.
        methods: method -> its folder.
        seeds: of each.
        shares: of the training examples.
    """
    single = list(cast(Mapping[str, str], config.tasks))
    tasks = {method: single if method == SINGLE else [None] for method in methods}
    return [
        Job(vary, method, seed, place, task, share)
        for share in sorted(shares, reverse=True)
        for seed in seeds
        for method, place in methods.items()
        for task in tasks[method]
    ]


def part_of(jobs: Sequence[Job], part: str) -> list[Job]:
    """The i-th n-th of jobs, `i/n`, i from 1: those of one method stay together, as they share compiled programs.

    Raises:
        UserError: where there is no such part.

    Example:
        >>> jobs = [Job("balance", method, seed, method) for seed in (0, 1) for method in ("a", "b")]
        >>> [f"{job.method} {job.seed}" for job in part_of(jobs, "1/2")]
        ['a 0', 'a 1']
    """
    numbers = re.fullmatch(r"(\d+)/(\d+)", part)
    i, n = map(int, numbers.groups()) if numbers else (0, 0)
    if not 1 <= i <= n:
        raise UserError(f"--job={part}: expected i/n, with i from 1 to n, such as --job=3/16.")
    programs = list(dict.fromkeys(job.program for job in jobs))
    ordered = sorted(jobs, key=lambda job: programs.index(job.program))
    return ordered[(i - 1) * len(jobs) // n : i * len(jobs) // n]


def config_of(config: ml_collections.ConfigDict, job: Job) -> ml_collections.ConfigDict:
    """The config of a job's run.

    Raises:
        UserError: where the method is no value of the keys that vary.
    """
    one: dict[str, Any] = config.to_dict() | {"seed": job.seed}
    if job.share != _own_share(config):
        one[SHARE] = job.share
    if job.changes:
        return ml_collections.ConfigDict(with_values(one, json.loads(job.changes)))
    if job.method != SINGLE:
        keys = keys_of(config, job.vary)
        return ml_collections.ConfigDict(with_values(one, values_of(config, keys, job.method)))
    if job.task is not None:
        kept = with_ancestors(config, job.task)
        one["tasks"] = {name: text for name, text in one["tasks"].items() if name in kept}
        one["optimizers"] = {group: text for group, text in one["optimizers"].items() if group in ("shared", *kept)}
        one["cosines_every"] = one["affinity_every"] = 0  # there is no other task
    return ml_collections.ConfigDict(one)


def with_ancestors(config: ml_collections.ConfigDict, task: str) -> list[str]:
    """A task of a config and those whose predictions its head takes, and theirs: what a network for it has.

    Raises:
        UserError: for a mistake in the config's tasks.
    """
    chosen = tasks_of(checked(config))
    found = [task]
    for name in found:  # which grows as it goes
        parents = chosen[name].parent_names if name in chosen else ()
        found += [parent for parent in parents if parent not in found]
    return found


def _own_share(config: ml_collections.ConfigDict) -> float:
    return cast(float, config.get(SHARE, 1.0))


def one_of_each(jobs: Sequence[Job]) -> Iterator[Job]:
    """A job of each program and share: those that can differ in what is wrong with them."""
    seen = set()
    for job in jobs:
        if (key := (job.program, job.share)) not in seen:
            seen.add(key)
            yield job
