"""The sections that tell which method is better: the table, each task against its own network, pair by pair."""

import math
from collections.abc import Sequence

from mtljax.report.comparison_table import Column, column
from mtljax.report.drawing.charts import Dot, dots
from mtljax.report.drawing.figures import file_name, short
from mtljax.report.page import blocks
from mtljax.report.page.blocks import BAD, GOOD, QUIET, Cell, Heading, Section, Table, Text, ends, number, over_seeds
from mtljax.report.page.context import Context
from mtljax.report.statistics.delta_table import delta_m_table
from mtljax.report.statistics.pairs import NEGATIVE, POSITIVE, Pair, Transfer, negative_transfer, paired
from mtljax.report.statistics.summary import Summary, intervals

_NO_BASELINE = "There is no baseline whose seeds are done yet: name one with --baseline, or wait for its runs."
_MOST_PAIRS = 28  # rows of a figure of pairs: with more, those with the best method alone
_WORDS = {NEGATIVE: ("worse", BAD), POSITIVE: ("better", GOOD)}


def table(context: Context) -> Section:
    """A row a method: metrics, delta_m in both weightings, mean rank, seconds a step."""
    title, intro = "Table", "Which method does best on which task, and on all of them."
    if not context.judged:
        return Section("table", title, intro, [Text(["No run has told its metrics yet."])])
    headings, rows = [Heading("method"), Heading("n")], _heads(context)
    for one, picked in _columns(context):
        way = "up" if one.higher_is_better else "down"
        metric = one.name if one.name in context.judged else ""
        headings.append(Heading(one.name.replace("/", " ", 1), way, metric, picked))
        for method, row in rows.items():
            row.append(_cell(one, method))
    judged = ", ".join(name.replace("/", " ", 1) for name in context.judged)
    notes = [
        *context.table.notes,
        "Over tasks each task weighs the same, over metrics each metric. A mean rank is of the methods' means. Best "
        f"bold, second best underlined, the baseline left out. Methods are judged by {judged}.",
    ]
    drawn = Table("Every method over its seeds", headings, list(rows.values()), notes)
    return Section("table", title, intro, [drawn])


def _heads(context: Context) -> dict[str, list[Cell]]:
    return {m: [context.head(m), context.seeds(m)] for m in context.comparison.methods}


def _columns(context: Context) -> list[tuple[Column, bool]]:
    """The columns, and whether each is shown without being picked: metrics that are not shown stand in their tasks."""
    columns = {one.name: one for one in context.table.columns}
    others = {name: up for name, up in context.judged.items() if name not in columns}
    if others:
        spread = intervals(context.results, others)
        for name, up in others.items():
            cells = {method: own[name] for method, own in spread.items()}
            columns[name] = column(name, up, cells, context.comparison.baseline)
    places = {name: place for place, name in enumerate(context.judged)}
    ordered = sorted(columns.values(), key=lambda one: places.get(one.name, len(places)))
    return [(one, one.name not in others) for one in ordered]


def _cell(one: Column, method: str) -> Cell:
    mean, error = one.shown(method)
    summary, mark = one.cells.get(method), one.places.get(method, "")
    if not mean or summary is None or not math.isfinite(summary.mean):
        return Cell(blocks.NOTHING, None, QUIET)
    return Cell(_signed(f"{mean} ± {error}" if error else mean), summary.mean, mark)


def _signed(text: str) -> str:
    return text.replace("-", "−")


def transfer(context: Context) -> Section:
    """Each task against its own network: how much worse, and whether the seeds show it."""
    title, intro = "Each task against its own network", "What a task gains or loses by being trained with others."
    if not context.baseline:
        return Section("transfer", title, intro, [Text([_NO_BASELINE])])
    found = negative_transfer(context.results, context.judged, context.baseline)
    found = {method: tasks for method, tasks in found.items() if context.results[method]}
    if not found:
        return Section("transfer", title, intro, [Text(["No other method has a seed that is done yet."])])
    judged = list(next(iter(found.values())))
    drawn = [
        dots(
            file_name("transfer", task),
            task,
            f"worse than {context.baseline}, %",
            [_dot(context, method, tasks[task].worse_by) for method, tasks in found.items()],
            neutral=0,
            alt=f"{task}: worsening of each method against {context.baseline}, in per cent, with 95 % interval.",
        )
        for task in judged
    ]
    rows = [[context.head(m), context.seeds(m), *(_judged(t) for t in tasks.values())] for m, tasks in found.items()]
    headings = [Heading("method"), Heading("seeds"), *(Heading(f"{task}, %", "down") for task in judged)]
    notes = [
        "Worsening in per cent of the baseline's mean, and its 95 % interval (Student's t over the method's seeds; the "
        "baseline's mean is taken as it is). Worse: negative transfer is shown, the interval is above 0. Better: "
        "positive transfer is shown. Not shown: the interval holds 0, or there is but one seed.",
        *context.notes,
    ]
    both = [
        blocks.Figures(f"Worsening of each task against {context.baseline}; left of the line is better.", drawn),
        Table("Negative transfer", headings, rows, notes),
    ]
    return Section("transfer", title, intro, both)


def _dot(context: Context, name: str, summary: Summary) -> Dot:
    low, high = summary.interval or (None, None)
    return Dot(name, summary.mean, low, high, context.looks[name])


def _judged(one: Transfer) -> Cell:
    mean, interval = one.worse_by.mean, one.worse_by.interval
    if not math.isfinite(mean):
        return Cell(blocks.NOTHING, None, QUIET)
    word, mark = _WORDS.get(one.verdict, ("not shown", QUIET))
    within = f" ({ends(interval).text})" if interval else ""
    return Cell(f"{number(mean, 3).text}{within} {word}", mean, mark)


def pairs(context: Context) -> Section:
    """Method against method, over the seeds that both have."""
    title, intro = "Method against method", "Paired over seeds: the same seed of one against that of the other."
    if not context.baseline:
        return Section("pairs", title, intro, [Text([_NO_BASELINE])])
    found = paired(context.results, context.judged, context.baseline)
    found = [pair for pair in found if pair.difference.n]
    if not found:
        return Section("pairs", title, intro, [Text(["No two methods have a seed in common that is done yet."])])
    shown, which = _most_telling(found, context)
    figure = dots(
        "pairs",
        "Difference in Δm over tasks",
        "difference in Δm, percentage points",
        [_pair_dot(context, pair) for pair in shown],
        neutral=0,
        alt="Differences in delta_m between methods, paired over seeds, with 95 % intervals.",
    )
    columns = ["first", "second", "seeds", "Δm difference", "95 % interval", "t", "p", "p (Holm)", "p (sign flips)"]
    columns += ["share of seeds", "P(improvement)"]
    notes = [
        "Δm difference: percentage points, over tasks; below 0, the first is better. p: paired t test; Holm's "
        "correction is for the number of pairs. Share of seeds in which the first is better, ties half; "
        "P(improvement): that the first with any seed is better than the second with any.",
        *_told(found),
        *context.notes,
    ]
    rows = [_pair_row(context, pair) for pair in found]
    table = Table("Every two methods", [Heading(c) for c in columns], rows, notes)
    return Section("pairs", title, intro, [blocks.Figures(which, [figure]), table])


def _most_telling(found: Sequence[Pair], context: Context) -> tuple[Sequence[Pair], str]:
    """The pairs to draw, and what is said of them."""
    if len(found) <= _MOST_PAIRS:
        return found, "Left of the line the first of the two is better."
    deltas = delta_m_table(context.results, context.judged, str(context.baseline))
    means = {m: deltas[m].mean for m in context.against if m in deltas and math.isfinite(deltas[m].mean)}
    best = min(means, key=lambda method: means[method])
    shown = [pair for pair in found if best in (pair.first, pair.second)]
    return shown, f"Of {len(found)} pairs, those with {best!r}, whose Δm is best; left of the line the first is better."


def _told(found: Sequence[Pair]) -> list[str]:
    """What the numbers of seeds, or missing figures, do not allow, each once: of how many pairs."""
    counts: dict[str, int] = {}
    for pair in found:
        if pair.note:
            counts[pair.note] = counts.get(pair.note, 0) + 1
    return [f"{note} ({number} of {len(found)} pairs)." for note, number in counts.items()]


def _pair_dot(context: Context, pair: Pair) -> Dot:
    low, high = pair.difference.interval or (None, None)
    name = f"{short(pair.first, 16)} − {short(pair.second, 16)}"
    return Dot(name, pair.difference.mean, low, high, context.looks[pair.first])


def _pair_row(context: Context, pair: Pair) -> list[Cell]:
    difference = pair.difference
    return [
        context.head(pair.first),
        context.head(pair.second),
        Cell(str(difference.n), float(difference.n)),
        over_seeds(difference),
        ends(difference.interval),
        number(pair.t, 3),
        number(pair.p, 2),
        number(pair.holm_p, 2),
        number(pair.sign_flip_p, 2),
        number(pair.better, 2),
        number(pair.probability_of_improvement, 2),
    ]
