"""The section of what multi-task learning promises over single networks, each promise with its verdict."""

from collections.abc import Mapping, Sequence

import numpy as np

from mtljax.report.drawing.charts import Line, lines
from mtljax.report.drawing.figures import Drawn, file_name
from mtljax.report.page.blocks import (
    BAD,
    GOOD,
    QUIET,
    Block,
    Cell,
    Figures,
    Heading,
    Section,
    Table,
    Text,
    ends,
    over_seeds,
)
from mtljax.report.page.context import Context, recorded
from mtljax.report.reading.curves import Curves, band
from mtljax.report.runs import SINGLE, Run
from mtljax.report.statistics.label_curves import LabelCurve
from mtljax.report.statistics.promised import label_curves, promised
from mtljax.report.statistics.promises import FAILS, HOLDS, Promise
from mtljax.report.statistics.training_time import Curve, TrainingTime, training_time

_MISSING = {
    "inference": "Inference: no run has recorded what a prediction costs.",
    "training": "Training time: evaluate on validation as training goes (config.eval_every) to see it.",
    "labels": "Labels: train on parts of the examples too (--shares='0.25;0.5;1') to see it.",
}
_MARKS = {HOLDS: GOOD, FAILS: BAD}


def promises(context: Context) -> Section:
    """Inference, training time, labels and accuracy against single networks, of every method."""
    title = "The promises"
    intro = "What training tasks together promises over a network for each, and whether these runs show it."
    methods = [method for method in context.comparison.methods if method != SINGLE and context.results[method]]
    if not context.results.get(SINGLE) or not methods or not context.judged:
        told = "Promises are held against single networks: name `single` among the methods, and let a seed be done."
        return Section("promises", title, intro, [Text([told])])
    found: dict[str, dict[str, dict[str, Promise]]] = {"inference": {}, "training": {}, "labels": {}, "accuracy": {}}
    for method in methods:
        for one in promised(context.comparison, method, _times(context, method), list(context.judged)):
            found[one.name].setdefault(one.unit, {})[method] = one
    blocks: list[Block] = []
    for name, units in found.items():
        blocks += [_table(context, unit) for unit in units.values()] or [Text([_MISSING[name]])]
        blocks += _of_labels(context, methods) if name == "labels" and units else []
    return Section("promises", title, intro, blocks)


def _table(context: Context, found: Mapping[str, Promise]) -> Table:
    one = next(iter(found.values()))
    headings = ["method", one.unit, "95 % interval", "seeds", "for this config", "note"]
    rows = [
        [
            context.head(method),
            over_seeds(promise.figure),
            ends(promise.figure.interval),
            Cell(str(promise.figure.n), float(promise.figure.n)),
            Cell(promise.verdict, promise.verdict, _MARKS.get(promise.verdict, QUIET), promise.sentence),
            Cell(promise.note, None, QUIET),
        ]
        for method, promise in found.items()
    ]
    return Table(f"{one.claim}.", [Heading(text) for text in headings], rows, context.notes)


def _primary(context: Context) -> dict[str, tuple[str, bool]]:
    """Task -> the name of its primary metric, and its direction; its first where none is primary."""
    found: dict[str, tuple[str, bool]] = {}
    for metric in sorted(context.comparison.metrics, key=lambda one: not one.primary):
        found.setdefault(metric.task, (metric.name, metric.higher_is_better))
    return found


def _times(context: Context, method: str) -> dict[int, TrainingTime]:
    """Seed -> the time to the quality of single networks, of seeds whose runs have all told their way."""
    primary = _primary(context)
    joint = {run.seed: (run, own) for run, own in context.whole(method) if run.status == "done"}
    alone: dict[int, dict[str, Curve]] = {}
    for run, own in context.whole(SINGLE):
        curve = _way(run, own, primary[run.task][0]) if run.task in primary and run.status == "done" else None
        if curve is not None and run.task is not None:
            alone.setdefault(run.seed, {})[run.task] = curve
    found = {}
    for seed, (run, own) in joint.items():
        ways = {task: way for task, (name, _) in primary.items() if (way := _way(run, own, name)) is not None}
        if ways.keys() == primary.keys() == alone.get(seed, {}).keys():
            found[seed] = training_time(alone[seed], ways, {task: up for task, (_, up) in primary.items()})
    return found


def _way(run: Run, own: Curves, figure: str) -> Curve | None:
    pace = recorded(run, "seconds", "step_median")
    if pace is None or figure not in own.validation:
        return None
    steps, first = np.unique(own.validation["step"], return_index=True)
    return Curve(steps.tolist(), own.validation[figure][first].tolist(), pace)


def _by_share(context: Context, method: str) -> dict[float, Mapping[int, Mapping[str, float]]]:
    shares = sorted({run.share for run in context.comparison.runs})
    return {share: context.comparison.results(share).get(method, {}) for share in shares}


def _of_labels(context: Context, methods: Sequence[str]) -> list[Block]:
    """Each task's metric against the share of the examples, and what joint training saves of them."""
    curves = {method: one for method in methods if (one := label_curves(context.comparison, method))}
    drawn = Figures("Each task's metric against the share of the training examples.", _drawn(context))
    return [drawn, _saved(context, curves)]


def _saved(context: Context, curves: Mapping[str, Mapping[int, Mapping[str, LabelCurve]]]) -> Table:
    """The share of the examples at which a method is as good as the task's own network with all of them."""
    tasks = list(_primary(context))
    rows = []
    for method, seeds in curves.items():
        row = [context.head(method)]
        for task in tasks:
            shares = [own[task].equal_share for own in seeds.values()]
            known = [share for share in shares if share is not None]
            text = f"{np.mean(known):.2f}" if known else "–"
            row.append(Cell(text if len(known) == len(shares) else f"{text} ({len(known)} of {len(shares)} seeds)",
                            float(np.mean(known)) if known else None))  # fmt: skip
        rows.append(row)
    note = "The mean over seeds in which it is reached; linear in log2 of the share between those that were tried."
    caption = "Share of the examples that is as good as the task's own network with all"
    return Table(caption, [Heading("method"), *(Heading(task, "down") for task in tasks)], rows, [note])


def _drawn(context: Context) -> list[Drawn]:
    found = []
    for task, (name, _) in _primary(context).items():
        drawn = []
        for method in context.comparison.methods:
            by_share = _by_share(context, method)
            seeds = {seed for own in by_share.values() for seed in own}
            points = [_along(by_share, seed, name) for seed in sorted(seeds)]
            over = band(points)
            if over is not None:
                drawn.append(Line(method, context.looks[method], over))
        title = name.replace("/", " ", 1)
        alt = f"{title} against the share of the training examples, a line a method, mean and range over seeds."
        found.append(lines(file_name("labels", task), title, ("share of the examples", ""), drawn, alt=alt))
    return found


def _along(
    by_share: Mapping[float, Mapping[int, Mapping[str, float]]], seed: int, name: str
) -> tuple[np.ndarray, np.ndarray]:
    points = [(share, own[seed].get(name, np.nan)) for share, own in by_share.items() if seed in own]
    return np.array([share for share, _ in points]), np.array([value for _, value in points])
