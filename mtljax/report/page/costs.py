"""The section of what training costs: time, memory, FLOPs, compiling, each as a ratio to one method."""

import dataclasses
import math
from collections.abc import Callable

from mtljax.report.drawing.charts import Dot, dots
from mtljax.report.drawing.figures import Drawn, file_name, short
from mtljax.report.page.blocks import Block, Cell, Figures, Heading, Section, Table, Text, duration, number, size
from mtljax.report.page.context import Context, recorded
from mtljax.report.statistics.summary import Summary, summarise

_REFERENCE = "equal()"
_LETTERS = 24  # of the method that ratios are to, in headings and along axes


@dataclasses.dataclass(frozen=True)
class _Cost:
    """A column: its name, where a record has it, how it is shown, and how those of single networks go together.

    Of what the first seed does for all of them, compiling, the largest of the seeds counts.
    """

    name: str
    keys: tuple[str, ...]
    show: Callable[[float | None], Cell]
    together: Callable = math.fsum
    drawn: bool = True
    largest: bool = False


_COSTS = (
    _Cost("step, median", ("seconds", "step_median"), duration),
    _Cost("step, p95", ("seconds", "step_p95"), duration, drawn=False),
    _Cost("peak memory", ("memory", "bytes"), lambda value: size(value, "B"), max),
    _Cost("FLOPs a step", ("flops", "step"), lambda value: size(value, "FLOP")),
    _Cost("compiling", ("seconds", "compile"), duration, largest=True),
    _Cost("training", ("seconds", "training"), duration, drawn=False),
    _Cost("parameters", ("parameters",), lambda value: size(value, ""), drawn=False),
    _Cost("forward FLOPs", ("flops", "forward"), lambda value: size(value, "FLOP"), drawn=False),
    _Cost("prediction, batch 1", ("seconds", "inference"), duration, drawn=False),
    _Cost("prediction, batch 8", ("seconds", "inference_8"), duration, drawn=False),
)


def cost(context: Context) -> Section:
    """Step time, memory, FLOPs and compile time of each method, each as a ratio to `equal()`."""
    methods = context.comparison.methods
    known = {c: {m: _over_seeds(context, c, m) for m in methods} for c in _COSTS}
    known = {c: column for c, column in known.items() if any(math.isfinite(s.mean) for s in column.values())}
    intro = "What a method costs beside its figures."
    if not known:
        return Section("cost", "Cost", intro, [Text(["No run that is done has recorded what it cost."])])
    reference = _REFERENCE if _REFERENCE in methods else context.comparison.baseline or methods[0]
    drawn = [
        _ratios(context, c, column, reference) for c, column in known.items() if c.drawn and column[reference].mean > 0
    ]
    rows = []
    for method in methods:
        row = [context.head(method), context.seeds(method)]
        for one, column in known.items():
            ratio = column[method].mean / column[reference].mean if column[reference].mean else math.nan
            row += [one.show(column[method].mean), number(ratio, 3)]
        rows.append(row)
    headings = [Heading("method"), Heading("seeds")]
    for one in known:
        headings += [Heading(one.name, "down"), Heading(f"ratio to {short(reference, _LETTERS)}", "down")]
    notes = [
        "Means over seeds; of compiling, the seed that took longest, since later ones reuse what it compiled. "
        "The median step is without those that compile, evaluate or save. Of single networks, "
        f"seconds, FLOPs and parameters are those of all tasks together, memory that of the largest.{_kinds(context)}",
        *context.notes,
    ]
    told = f"Ratios to {reference}, mean and range over seeds; right of the line costs more."
    shown: list[Block] = [
        *([Figures(told, drawn)] if drawn else []),
        Table("Cost of training", headings, rows, notes),
    ]
    return Section("cost", "Cost", intro, shown)


def _over_seeds(context: Context, one: _Cost, method: str) -> Summary:
    found = context.recorded(method, lambda run: recorded(run, *one.keys), one.together)
    if not one.largest or math.isnan(found.mean):
        return found
    seed = max(found.values, key=lambda seed: found.values[seed])
    return summarise({seed: found.values[seed]})


def _ratios(context: Context, one: _Cost, column: dict[str, Summary], reference: str) -> Drawn:
    base = column[reference].mean
    rows = []
    for method, summary in column.items():
        values = [value / base for value in summary.values.values()] if base else []
        low, high = (min(values), max(values)) if len(values) > 1 else (None, None)
        rows.append(Dot(method, summary.mean / base if base else math.nan, low, high, context.looks[method]))
    alt = f"{one.name} of each method as a ratio to {reference}, mean and range over seeds."
    return dots(
        file_name("cost", one.name), one.name, f"ratio to {short(reference, _LETTERS)}", rows, neutral=1, alt=alt
    )


def _kinds(context: Context) -> str:
    """Whose memory it is, in words."""
    memories = [run.record["memory"] for run in context.comparison.runs if run.record.get("memory")]
    kinds = sorted({str(memory.get("of", "")) for memory in memories})
    words = {"device": "the device's own figure", "process": "the resident memory of the process"}
    told = ", of others ".join(words.get(kind, kind) for kind in kinds)
    return f" Peak memory is {told}." if told else ""
