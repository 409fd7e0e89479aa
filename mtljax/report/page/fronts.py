"""The section of a sweep of preferences: what the methods trade, and the front that they find."""

import itertools
import math
from collections.abc import Mapping, Sequence

from mtljax.report.drawing.charts import Place, plane
from mtljax.report.drawing.figures import Drawn, file_name
from mtljax.report.page.blocks import GOOD, QUIET, Cell, Figures, Heading, Section, Table, Text, over_seeds
from mtljax.report.page.context import Context
from mtljax.report.statistics.fronts import front
from mtljax.report.statistics.summary import Summary, summarise

_MARK = "preference="
_MOST = 3  # objectives of a figure


def traded(context: Context) -> list[Section]:
    """What methods with preferences trade, in two or three tasks; nothing where there are not two of them."""
    if sum(_MARK in method for method in context.comparison.methods) < 2:
        return []
    title, intro = "Front", "What a preference buys: each task's primary metric against the others'."
    names = _objectives(context)
    if not 2 <= len(names) <= _MOST:
        return [Section("front", title, intro, [Text([f"Drawn of two or three tasks; there are {len(names)}."])])]
    means = {method: _summaries(context, method, names) for method in context.comparison.methods}
    known = {m: [one.mean for one in own] for m, own in means.items() if all(math.isfinite(one.mean) for one in own)}
    if not known:
        return [Section("front", title, intro, [Text(["No run is done yet."])])]
    best = front(known, [context.judged[name] for name in names])
    drawn = [_drawn(context, pair, names, known, best) for pair in itertools.combinations(range(len(names)), 2)]
    told = "Means over seeds; filled: on the front of all tasks, where no other method is better in one and as good in "
    table = _table(context, names, means, best)
    return [Section("front", title, intro, [Figures(f"{told}the others.", drawn), table])]


def _objectives(context: Context) -> list[str]:
    """The primary metric of each task, or its first."""
    chosen: dict[str, str] = {}
    for metric in sorted(context.comparison.metrics, key=lambda one: not one.primary):
        if metric.name in context.judged:
            chosen.setdefault(metric.task, metric.name)
    return [chosen[task] for task in context.tasks if task in chosen]


def _summaries(context: Context, method: str, names: Sequence[str]) -> list[Summary]:
    runs = context.results.get(method, {})
    return [summarise({seed: own.get(name, math.nan) for seed, own in runs.items()}) for name in names]


def _drawn(
    context: Context,
    pair: tuple[int, int],
    names: Sequence[str],
    known: Mapping[str, Sequence[float]],
    best: Sequence[str],
) -> Drawn:
    x, y = pair
    places = [Place(m, at[x], at[y], m in best, context.looks[m]) for m, at in known.items()]
    ways = {True: "higher is better", False: "lower is better"}
    labels = [f"{names[i].replace('/', ' ', 1)} ({ways[context.judged[names[i]]]})" for i in pair]
    shown = "front" if len(names) == 2 else f"front of {len(names)} tasks"
    alt = f"{labels[1]} against {labels[0]} of {len(places)} methods; {len(best)} of them are on the {shown}."
    name = file_name("front", names[x], names[y])
    return plane(name, f"The {shown}", (labels[0], labels[1]), places, joined=len(names) == 2, alt=alt)


def _table(
    context: Context, names: Sequence[str], means: Mapping[str, Sequence[Summary]], best: Sequence[str]
) -> Table:
    headings = [
        Heading("method"),
        *(Heading(n.replace("/", " ", 1), "up" if context.judged[n] else "down") for n in names),
    ]
    rows = []
    for method, own in means.items():
        cells = [context.head(method), *(over_seeds(one) for one in own)]
        rows.append([*cells, Cell("yes", "yes", GOOD) if method in best else Cell("no", "no", QUIET)])
    return Table("What each method reaches", [*headings, Heading("on the front")], rows, context.notes)
