"""The sections of what was logged during training: curves, task weights, cosines between gradients."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from mtljax.report.drawing.charts import Line, cosines, lines, styles
from mtljax.report.drawing.figures import Drawn, file_name
from mtljax.report.page import blocks
from mtljax.report.page.blocks import Block, Cell, Figures, Heading, Section, Table, Text
from mtljax.report.page.context import BROKEN, Context, recorded
from mtljax.report.reading.curves import Curves, band
from mtljax.report.runs import Run
from mtljax.report.statistics.delta_table import delta_m_table
from mtljax.report.statistics.summary import summarise

_MOST = 12  # methods whose weights and cosines are drawn
_SAME = 1e-6  # a weight that moves by less than this part of itself is called constant
_CAPTIONS = {
    "steps": "Against steps: mean over seeds, and their range. A run that failed is a thin line that ends in a cross.",
    "seconds": "Against seconds of training: steps times the run's median step, without compiling and evaluations.",
}
Points = tuple[np.ndarray, np.ndarray]


def curves(context: Context) -> Section:
    """Losses and metrics against steps and against seconds."""
    wanted = [(f"{task}/loss", "train") for task in context.tasks]
    wanted += [(metric, "validation") for metric in context.shown]
    wanted.sort(key=lambda one: context.tasks.index(one[0].partition("/")[0]))
    against = {
        axis: [_curve(context, figure, split, axis) for figure, split in wanted] for axis in ("steps", "seconds")
    }
    missing = [
        f"{figure} ({split})" for (figure, split), one in zip(wanted, against["steps"], strict=True) if one is None
    ]
    shown: list[Block] = []
    for axis, caption in _CAPTIONS.items():
        drawn = [one for one in against[axis] if one is not None]
        if drawn:
            shown.append(Figures(caption, drawn))
    read, logged = (sum(getattr(one, name) for one in context.curves) for name in ("read", "logged"))
    notes = [
        f"Of {logged:,} logged steps {read:,} were read, evenly spread; a point is the mean of up to five of them."
    ]
    if missing:
        notes.append(f"Without a curve, since fewer than two points are logged: {', '.join(missing)}.")
    return Section("curves", "Curves", "Losses on training batches, metrics on validation.", [*shown, Text(notes)])


def _curve(context: Context, figure: str, split: str, axis: str) -> Drawn | None:
    drawn = []
    for method in context.comparison.methods:
        done: list[Points] = []
        ended: list[Points] = []
        for run, own in context.whole(method):
            points = _points(run, own, figure, split, axis)
            if points is not None:
                (ended if run.status in BROKEN else done).append(points)
        if done or ended:
            drawn.append(Line(method, context.looks[method], band(done), ended))
    if max((len(one.band.x) if one.band else len(one.ended[0][0]) for one in drawn), default=0) < 2:
        return None
    title = f"{figure.replace('/', ' ', 1)} ({split})"
    label = "step" if axis == "steps" else "seconds of training"
    alt = f"{title} against {axis}, a line a method, mean and range over seeds."
    return lines(file_name("curves", figure, axis), title, (label, ""), drawn, alt=alt)


def _points(run: Run, own: Curves, figure: str, split: str, axis: str) -> Points | None:
    series = own.train if split == "train" else own.validation
    if figure not in series:
        return None
    there = np.isfinite(series[figure])
    x, y = series["step"][there], series[figure][there]
    if axis == "seconds":
        pace = recorded(run, "seconds", "step_median")
        if pace is None:
            return None
        x = x * pace
    return (x, y) if len(x) else None


def balancer(context: Context) -> Section:
    """Task weights over training, cosines between gradients, and how often they conflict."""
    together = [
        method for method in context.comparison.methods if any(not run.task for run, _ in context.whole(method))
    ]
    drawn, left_out = _best(context, together)
    weights, constant = _weights(context, drawn)
    maps = [one for method in drawn if (one := _map(context, method)) is not None]
    which = "methods with the best Δm" if context.baseline else "first methods"
    told = f"Drawn of the {_MOST} {which}; without {', '.join(left_out)}."
    shown: list[Block] = [Text([told])] if left_out else []
    if weights:
        shown.append(Figures("Weights of the tasks over training, mean and range over seeds.", weights))
    if constant:
        shown.append(Text([f"Weights that never change: {'; '.join(constant)}."]))
    if maps:
        shown.append(Figures("Cosines between the tasks' gradients, mean over seeds.", maps))
        shown.append(_conflicts(context, together))
    if not maps:
        shown.append(Text(["No run logged cosines: methods that see gradients do, others with config.cosines_every."]))
    return Section("balancer", "Inside the balancer", "What each method did with the tasks' gradients.", shown)


def _best(context: Context, methods: Sequence[str]) -> tuple[list[str], list[str]]:
    """Up to `_MOST` methods, those with the least delta_m where there are more, in their order; and the others."""
    if len(methods) <= _MOST:
        return list(methods), []
    known = delta_m_table(context.results, context.judged, context.baseline) if context.baseline else {}
    means = {m: known[m].mean if m in known and math.isfinite(known[m].mean) else math.inf for m in methods}
    best = sorted(methods, key=lambda method: means[method])[:_MOST]
    return [m for m in methods if m in best], [m for m in methods if m not in best]


def _weights(context: Context, methods: Sequence[str]) -> tuple[list[Drawn], list[str]]:
    """Figures of the weights that change, and words of those that do not."""
    looks, found, constant = styles(context.tasks), [], []
    for method in methods:
        curves = [own for run, own in context.whole(method) if not run.task]
        drawn, gone = weight_lines(curves, looks), _no_numbers(curves)
        if not drawn:
            continue
        if all(_steady(line) for line in drawn):
            told = ", ".join(f"{line.name} {_mean(line):.4g}" for line in drawn)
            constant.append(f"{method} ({told}{gone})")
            continue
        alt = f"Task weights of {method} against steps, a line a task{gone}."
        found.append(lines(file_name("weights", method), method, ("step", "weight"), drawn, alt=alt))
    return found, constant


def weight_lines(curves: Sequence[Curves], looks: Mapping) -> list[Line]:
    """A line a task: its weight, mean and range over runs."""
    found = []
    for task, look in looks.items():
        points = [(own.train["step"], own.weights()[task]) for own in curves if task in own.weights()]
        over = band(points)
        if over is not None:
            found.append(Line(task, look, over))
    return found


def _no_numbers(curves: Sequence[Curves]) -> str:
    """From which step on logged weights of a run were no numbers, which no line shows; "" where all are."""
    steps = [
        int(own.train["step"][~np.isfinite(series)].min())
        for own in curves
        for series in own.weights().values()
        if not np.isfinite(series).all()
    ]
    return f"; no numbers in a run at step {min(steps)}" if steps else ""


def _steady(line: Line) -> bool:
    if line.band is None:
        return True
    low, high = float(line.band.low.min()), float(line.band.high.max())
    return high - low <= _SAME * max(abs(low), abs(high))


def _mean(line: Line) -> float:
    return math.nan if line.band is None else float(line.band.mean.mean())


def _map(context: Context, method: str) -> Drawn | None:
    return cosine_map(method, [own for run, own in context.whole(method) if not run.task])


def cosine_map(name: str, curves: Sequence[Curves]) -> Drawn | None:
    """A map of the cosines of some runs, their mean; None where none was logged."""
    pairs = list({pair: None for own in curves for pair in own.cosines()})
    found = {}
    for pair in pairs:
        over = band([(own.train["step"], own.cosines()[pair]) for own in curves if pair in own.cosines()])
        if over is not None:
            found[pair] = over
    if not found:
        return None
    axis = max((over.x for over in found.values()), key=len)
    rows = {pair: np.interp(axis, over.x, over.mean, left=np.nan, right=np.nan) for pair, over in found.items()}
    alt = f"Map of the cosines between the tasks' gradients with {name}: a row a pair, time from left to right."
    return cosines(file_name("cosines", name), name, axis, rows, alt=alt)


def _conflicts(context: Context, methods: Sequence[str]) -> Table:
    """A row a pair, and two columns a method: the mean cosine over seeds, and the share of steps with one below 0."""
    logged = {m: [own for run, own in context.whole(m) if not run.task and own.conflicts] for m in methods}
    logged = {method: runs for method, runs in logged.items() if runs}
    pairs = list({pair: None for runs in logged.values() for own in runs for pair in own.conflicts})
    rows = []
    for pair in [*pairs, None]:
        row = [Cell("all pairs" if pair is None else pair.replace("/", " · "), pair or "")]
        for runs in logged.values():
            row += conflict_cells(runs, pair)
        rows.append(row)
    headings = [Heading("pair")]
    for method in logged:
        headings += [Heading(f"{method} mean cosine"), Heading(f"{method} in conflict, %")]
    notes = ["Mean over the points of training, ± standard error over seeds. In conflict: share of the steps that were "
             "read, of all seeds together, at which the cosine was below 0."]  # fmt: skip
    return Table("Cosines and conflicts", headings, rows, notes)


def conflict_cells(runs: Sequence[Curves], pair: str | None) -> list[Cell]:
    """The mean cosine of a pair, or of all, and the share of steps in conflict in per cent."""
    means = {i: _mean_cosine(own, pair) for i, own in enumerate(runs)}
    counts = [c for own in runs for name, c in own.conflicts.items() if pair in (None, name)]
    below, counted = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0)
    share = blocks.number(100 * below / counted if counted else None, 3)
    return [blocks.over_seeds(summarise({i: m for i, m in means.items() if math.isfinite(m)})), share]


def _mean_cosine(own: Curves, pair: str | None) -> float:
    values = [v[np.isfinite(v)] for name, v in own.cosines().items() if pair in (None, name)]
    joined = np.concatenate(values) if values else np.zeros(0)
    return float(joined.mean()) if joined.size else math.nan
