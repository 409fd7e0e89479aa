"""Balancers, or values of another config key, compared on one config: each with every seed is a run of its own."""

import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import jax
import ml_collections
import numpy as np

from mtljax.errors import UserError, unknown
from mtljax.report.files import load, write, write_json
from mtljax.tasks import delta_m
from mtljax.train.config import default as run_config
from mtljax.train.config import experiment
from mtljax.train.run import loop
from mtljax.train.run.config_file import settle
from mtljax.train.run.workdir import sole_use

RESULTS, TABLE = "compare.json", "compare.md"
SINGLE = "single"  # in place of a method: a network of its own for every task

Results = dict[str, dict[str, dict[str, float]]]  # method -> seed -> figure -> value


def run(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    methods: str,
    seeds: int,
    *,
    vary: str = "balance",
    allow_config_change: bool = False,
) -> None:
    """Trains the config with every method and seed that the workdir has no figures of; then prints a table.

    Leaves `compare.json` (all figures of all runs), `compare.md` (the table: mean and standard error of each task's
    primary metric) and a folder a method with a workdir a seed. A stopped comparison goes on where it was.

    Args:
        config: of a training run; its `seed` is the first.
        workdir: where to leave everything.
        methods: values of `vary` with ; between them; `single` stands for a network a task, each trained alone.
        seeds: how many.
        vary: the config's key that methods are values of, such as `model` or `optimizers.stitch`.
        allow_config_change: whether to go on in a workdir of another config.

    Raises:
        UserError: for any mistake in the input.
        mtljax.train.run.loop.Stopped: after a signal, when the state of the run at hand is saved.
    """
    config = run_config.checked(config)
    _check_key(config, vary)
    chosen = _methods(methods)
    if vary == "balance":
        config.balance = "equal()"  # of `single`
    primary = primary_metrics(config)
    for method in chosen:  # All of them, before the first takes its time.
        for _, part in _runs(config, vary, method, cast(int, config.seed)):
            experiment.build(run_config.checked(part))
    with sole_use(workdir):
        _train_all(config, workdir, vary, chosen, seeds, primary, allow_config_change)


def _train_all(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    vary: str,
    chosen: Sequence[str],
    seeds: int,
    primary: Mapping[str, tuple[str, bool]],
    allow_config_change: bool,
) -> None:
    """Runs what the workdir has no figures of, and writes and prints what has come out; see `run`."""
    settle(config, workdir, allow_change=allow_config_change)
    results = load(workdir / RESULTS)
    first = cast(int, config.seed)
    for seed in range(first, first + seeds):
        for method in chosen:
            figures = results.setdefault(method, {})
            if str(seed) not in figures:
                print(f"\n{method}, seed {seed}", flush=True)
                figures[str(seed)] = _trained(config, workdir, vary, method, seed, allow_config_change)
                write_json(workdir / RESULTS, results)
                write(workdir / TABLE, table(results, primary, chosen) + "\n")
    shown = table(results, primary, chosen)
    write(workdir / TABLE, shown + "\n")
    print(f"\n{shown}", flush=True)


def table(results: Results, primary: Mapping[str, tuple[str, bool]], methods: Sequence[str]) -> str:
    """A Markdown table: a row a method, a column a task.

    Where `single` is among the methods, the last column is the mean relative gain over it, in per cent (Maninis et
    al., Attentive Single-Tasking of Multiple Tasks, CVPR 2019, equation 4): positive is better, the
    opposite of `mtljax.delta_m`. Its standard error holds the baseline's own; see `gain_over`.

    Args:
        results: method -> seed -> figure -> value.
        primary: figure of each task -> (its heading, whether higher is better).
        methods: in the order of the rows.

    Example:
        >>> runs = {"equal()": {"0": {"a/error": 1.0}, "1": {"a/error": 3.0}}}
        >>> print(table(runs, {"a/error": ("a error (down)", False)}, ["equal()"]))
        | method | seeds | a error (down) |
        |---|---|---|
        | `equal()` | 2 | 2.0000 ± 1.0000 |
    """
    alone = results.get(SINGLE) if SINGLE in methods else None
    headings = ["method", "seeds", *(heading for heading, _ in primary.values())]
    lines = [headings + (["gain over single, % (up; -delta_m)"] if alone else [])]
    for method in methods:
        runs = results.get(method, {})
        if not runs:
            continue
        row = [f"`{method}`", str(len(runs)), *(_mean([run[key] for run in runs.values()], 4) for key in primary)]
        if alone:
            row.append(_shown(*gain_over(runs, alone, primary), 2) if method != SINGLE else "")
        lines.append(row)
    lines.insert(1, ["---"] * len(lines[0]))
    text = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([text[0], text[1].replace(" ", ""), *text[2:]])


def gain_over(
    runs: Mapping[str, Mapping[str, float]],
    alone: Mapping[str, Mapping[str, float]],
    primary: Mapping[str, tuple[str, bool]],
) -> tuple[float, float | None]:
    """The gain of a method over a baseline in per cent, and its standard error, the baseline's included.

    Args:
        runs: of the method: seed -> figure -> value.
        alone: of the baseline, likewise.
        primary: the figures that count -> (heading, whether higher is better).

    Returns:
        The mean gain of the runs over the baseline's mean. The standard error over seeds of the gains over the same
        seed's baseline, where both have the same seeds; else the root of the sum of squares of the two parts' own, each
        against the other's mean. None where either has but one seed.

    Example:
        >>> primary = {"error": ("error", False)}
        >>> alone = {"0": {"error": 1.0}, "1": {"error": 2.0}}
        >>> gain, error = gain_over({"0": {"error": 0.5}, "1": {"error": 1.0}}, alone, primary)
        >>> print(round(gain, 2), error)  # a half, with either seed
        50.0 0.0
    """
    base, mean = _means(alone, primary), _means(runs, primary)
    gains = [_gain(run, base, primary) for run in runs.values()]
    if min(len(runs), len(alone)) == 1:
        return float(np.mean(gains)), None
    if set(runs) == set(alone):
        error = _error([_gain(run, alone[seed], primary) for seed, run in runs.items()])
    else:
        error = float(np.hypot(_error(gains), _error([_gain(mean, other, primary) for other in alone.values()])))
    return float(np.mean(gains)), error


def _means(runs: Mapping[str, Mapping[str, float]], keys: Iterable[str]) -> dict[str, float]:
    return {key: float(np.mean([run[key] for run in runs.values()])) for key in keys}


def _gain(run: Mapping[str, float], base: Mapping[str, float], primary: Mapping[str, tuple[str, bool]]) -> float:
    figures, baseline = ({key: {"primary": values[key]} for key in primary} for values in (run, base))
    directions = {key: {"primary": higher} for key, (_, higher) in primary.items()}
    return 0.0 - delta_m(figures, baseline, directions)  # and never -0.0


def _mean(values: Sequence[float], digits: int) -> str:
    return _shown(float(np.mean(values)), _error(values) if len(values) > 1 else None, digits)


def _error(values: Sequence[float]) -> float:
    """The standard error of the mean."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def _shown(mean: float, error: float | None, digits: int) -> str:
    return f"{mean:.{digits}f}" if error is None else f"{mean:.{digits}f} ± {error:.{digits}f}"


def _methods(text: str) -> list[str]:
    methods = [method.strip() for method in text.split(";") if method.strip()]
    if not methods:
        raise UserError("--methods is empty; expected call-strings with ; between them, such as 'equal();pcgrad()'.")
    folders = [_folder(method) for method in methods]
    for i, folder in enumerate(folders):
        if folder in folders[:i]:
            raise UserError(f"--methods names {methods[i]!r} twice, or another of the same letters.")
    return methods


def _folder(method: str) -> str:
    return re.sub(r"[^\w.=]+", "-", method).strip("-")


def primary_metrics(config: ml_collections.ConfigDict) -> dict[str, tuple[str, bool]]:
    """The figure by which each task is judged -> its heading in a table, and whether higher is better."""
    found = {}
    for name, task in experiment.build(config).tasks.items():
        arrow = "up" if task.primary.higher_is_better else "down"
        found[f"{name}/{task.primary.name}"] = (
            f"{name} {task.primary.name} ({arrow})",
            task.primary.higher_is_better,
        )
    return found


def _check_key(config: ml_collections.ConfigDict, key: str) -> None:
    """Raises `UserError` where methods cannot be values of a key: unknown, no string, or the seed."""
    outer, _, inner = key.partition(".")
    given: dict[str, Any] = config.to_dict()
    texts = {k for k, value in given.items() if isinstance(value, str)}
    groups = {f"{k}.{name}" for k in ("tasks", "optimizers") for name in given[k]}
    if key not in texts and not (outer == "optimizers" and inner):
        raise unknown("config key to vary (--vary) whose values are text:", key, sorted(texts | groups))


def _runs(
    config: ml_collections.ConfigDict, vary: str, method: str, seed: int
) -> Iterator[tuple[str, ml_collections.ConfigDict]]:
    """The folder and the config of each run that a method with a seed takes."""
    one: dict[str, Any] = config.to_dict() | {"seed": seed}
    if method != SINGLE:
        outer, _, inner = vary.partition(".")
        (one[outer] if inner else one)[inner or outer] = method
        yield f"{_folder(method)}/seed-{seed}", ml_collections.ConfigDict(one)
        return
    for task, text in one["tasks"].items():
        optimizers = {group: text for group, text in one["optimizers"].items() if group in ("shared", task)}
        alone = one | {"tasks": {task: text}, "optimizers": optimizers}
        yield f"{SINGLE}/{task}/seed-{seed}", ml_collections.ConfigDict(alone)


def _trained(
    config: ml_collections.ConfigDict, workdir: pathlib.Path, vary: str, method: str, seed: int, allow_change: bool
) -> dict[str, float]:
    figures: dict[str, float] = {}
    for folder, part in _runs(config, vary, method, seed):
        figures |= loop.train(part, workdir / folder, allow_config_change=allow_change)
        jax.clear_caches()  # No later run has the same seed and method: compiled steps would only take memory.
    return figures
