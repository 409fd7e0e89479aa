"""Cross-stitch networks as their paper trains them: alone first, then stitched; and its three questions."""

import ast
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import jax
import ml_collections
import numpy as np

from mtljax.errors import UserError
from mtljax.report.files import load, write, write_json
from mtljax.studies.comparison.metrics import metrics_of, primary_metrics
from mtljax.studies.cross_stitch_plot import draw, unit_table
from mtljax.train.config import default as run_config
from mtljax.train.config import experiment
from mtljax.train.run import config_file, loop
from mtljax.train.run.start import newest_variables

RESULTS, TABLE, PICTURE = "cross_stitch.json", "cross_stitch.md", "stitch.png"
ALONE = "alone"
_OWN_KEYS = ("study", "table", "encoder", "stages", "alpha", "optimizer", "rate", "stitch_rate", "alone_steps")
_RATES = (1.0, 10.0, 100.0, 1000.0)
_ALPHAS = ((0.9, 0.1), (0.5, 0.5), (0.7, 0.3))


class _Wanted(Protocol):
    """What the study reads of its config, beside the keys of a training run."""

    table: bool
    encoder: str
    stages: Sequence[str]
    alpha: tuple[float, float]
    optimizer: str
    rate: float
    stitch_rate: float
    alone_steps: int
    steps: int
    tasks: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """All keys and values."""
        ...


@dataclasses.dataclass(frozen=True)
class Variant:
    """A second stage of training.

    Attributes:
        alpha: of the mixing weights at the start, (same, different); None for networks that stay alone.
        rate: that of the mixing weights over that of the networks.
        scratch: whether it starts at random, and is trained for the steps of both stages.
    """

    alpha: tuple[float, float] | None
    rate: float
    scratch: bool = False

    @property
    def folder(self) -> str:
        """Its workdir's name."""
        if self.alpha is None:
            return "unstitched"
        start = "scratch" if self.scratch else "stitched"
        return f"{start}-rate-{self.rate:g}-alpha-{self.alpha[0]:g}-{self.alpha[1]:g}"

    @property
    def cells(self) -> tuple[str, str, str]:
        """Its row's head: where it starts, the rate, alpha."""
        if self.alpha is None:
            return ("networks trained alone, never stitched", "", "")
        start = "from scratch" if self.scratch else "networks trained alone"
        return (start, f"{self.rate:g}", f"({self.alpha[0]:g}, {self.alpha[1]:g})")


def run(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> None:
    """Trains the networks alone, then stitched; tells and draws the mixing weights; answers the questions if asked.

    Leaves the workdirs of the runs, `stitch.png`, and with `table` `cross_stitch.json` and `cross_stitch.md`. A
    stopped study goes on where it was.

    Args:
        config: of a training run, with the keys that `configs/cross_stitch.py` explains.
        workdir: where to leave everything.

    Raises:
        UserError: for any mistake in the input.
        mtljax.train.run.loop.Stopped: after a signal, when the state of the run at hand is saved.

    References:
        Misra, Shrivastava, Gupta and Hebert, Cross-stitch Networks for Multi-task Learning, CVPR 2016, sections 4 and
        5: initialisation and learning rates of the units (table 1), and of the networks (section 5.1).
    """
    wanted = cast(_Wanted, config)
    same, different = wanted.alpha
    chosen = Variant((same, different), wanted.stitch_rate)
    variants = _questions(chosen) if wanted.table else [chosen]
    for variant in variants:
        experiment.build(_second(wanted, workdir, variant))
    primary = primary_metrics(metrics_of(_first(wanted)))
    results = load(workdir / RESULTS)
    parts = {ALONE: _first(wanted)} | {variant.folder: _second(wanted, workdir, variant) for variant in variants}
    for folder in results.keys() & parts.keys():
        _refuse_other(parts[folder], workdir / folder)
    if not (workdir / ALONE / "checkpoints").exists() or ALONE not in results:
        results[ALONE] = loop.train(_first(wanted), workdir / ALONE)
        write_json(workdir / RESULTS, results)
    for variant in variants:
        if variant.folder not in results:
            print(f"\n{', '.join(filter(None, variant.cells))}", flush=True)
            results[variant.folder] = loop.train(_second(wanted, workdir, variant), workdir / variant.folder)
            write_json(workdir / RESULTS, results)
            jax.clear_caches()
        if variant == chosen:
            _show_units(wanted, workdir, chosen)
    if wanted.table:
        shown = table(results, variants, primary)
        write(workdir / TABLE, shown + "\n")
        print(f"\n{shown}", flush=True)


def _refuse_other(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> None:
    """Raises a `UserError` where a part of the study that is done was trained by another config; it may have moved."""
    if (workdir / config_file.CONFIG_FILE).exists():
        config = ml_collections.ConfigDict(config.to_dict())
        config.init_from = config_file.load(workdir / config_file.CONFIG_FILE).get("init_from", "")
        config_file.refuse_change(config, workdir)


def _questions(chosen: Variant) -> list[Variant]:
    """The chosen way, and those that differ from it in one thing."""
    rates = [dataclasses.replace(chosen, rate=rate) for rate in _RATES]
    alphas = [dataclasses.replace(chosen, alpha=alpha) for alpha in _ALPHAS]
    every = [chosen, Variant(None, 1.0), dataclasses.replace(chosen, scratch=True), *rates, *alphas]
    return list(dict.fromkeys(every))


def table(
    results: Mapping[str, Mapping[str, float]], variants: list[Variant], primary: Mapping[str, tuple[str, bool]]
) -> str:
    """A Markdown table: a row a variant, a column a task.

    Args:
        results: folder -> figure -> value.
        variants: in the order of the rows.
        primary: figure of each task -> (its heading, whether higher is better).

    Example:
        >>> variants = [Variant((0.9, 0.1), 100.0), Variant(None, 1.0)]
        >>> results = {variants[0].folder: {"a/error": 1.0}, "unstitched": {"a/error": 2.0}}
        >>> print(table(results, variants, {"a/error": ("a error (down)", False)}))
        | start | rate of alpha | alpha at the start | a error (down) |
        |---|---|---|---|
        | networks trained alone | 100 | (0.9, 0.1) | 1.0000 |
        | networks trained alone, never stitched |  |  | 2.0000 |
    """
    headings = ("start", "rate of alpha", "alpha at the start", *(heading for heading, _ in primary.values()))
    rows = [(*v.cells, *(f"{results[v.folder][key]:.4f}" for key in primary)) for v in variants]
    lines = ["| " + " | ".join(row) + " |" for row in (headings, *rows)]
    return "\n".join([lines[0], "|---" * len(headings) + "|", *lines[1:]])


def _show_units(wanted: _Wanted, workdir: pathlib.Path, chosen: Variant) -> None:
    _, variables = newest_variables(workdir / chosen.folder)
    units = {stage: np.asarray(variables["params"][f"stitch_{stage}"]["alpha"]) for stage in wanted.stages}
    tasks = list(cast(Mapping[str, str], run_config.checked(_first(wanted)).tasks))
    print(f"\n{unit_table(units, tasks)}", flush=True)
    try:
        draw(workdir / PICTURE, units, tasks)
    except OSError as error:
        raise UserError(f"cannot write {str(workdir / PICTURE)!r}: {error.strerror or error}.") from error
    print(f"drawn in {workdir / PICTURE}", flush=True)


def _first(wanted: _Wanted) -> ml_collections.ConfigDict:
    """The config of the first stage."""
    given = _training(wanted, wanted.alone_steps)
    given.model = f"SingleTask(encoder={wanted.encoder})"
    given.optimizers = {task: _optimizer(wanted, wanted.rate) for task in wanted.tasks}
    return run_config.checked(given)


def _second(wanted: _Wanted, workdir: pathlib.Path, variant: Variant) -> ml_collections.ConfigDict:
    """The config of a second stage."""
    given = _training(wanted, wanted.steps + (wanted.alone_steps if variant.scratch else 0))
    if not variant.scratch:
        given.init_from = str(workdir / ALONE)
    optimizers = {task: _optimizer(wanted, wanted.rate) for task in wanted.tasks}
    if variant.alpha is None:
        given.model = f"SingleTask(encoder={wanted.encoder})"
    else:
        stages = tuple(wanted.stages)
        given.model = f"CrossStitch(encoder={wanted.encoder}, stages={stages!r}, alpha={variant.alpha!r})"
        optimizers["stitch"] = _optimizer(wanted, wanted.rate * variant.rate)
    given.optimizers = optimizers
    return run_config.checked(given)


def _training(wanted: _Wanted, steps: int) -> ml_collections.ConfigDict:
    """The keys of a training run."""
    given = ml_collections.ConfigDict({k: v for k, v in wanted.to_dict().items() if k not in _OWN_KEYS})
    given.steps = steps
    return given


def _optimizer(wanted: _Wanted, rate: float) -> str:
    """The optimiser with a learning rate in the place of the name `rate`."""
    try:
        tree = ast.parse(wanted.optimizer.strip(), mode="eval")
    except SyntaxError:
        raise UserError(f"optimizer={wanted.optimizer!r} is not a call-string such as 'sgd(rate)'.") from None
    named = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "rate"]
    if not named:
        raise UserError(f"optimizer={wanted.optimizer!r}: expected the name `rate` for the learning rate.")
    for node in named:
        node.id = repr(float(rate))
    return ast.unparse(tree)
