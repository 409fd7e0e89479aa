"""A comparison as files for other programs: one line a run as CSV, and its table in LaTeX and Markdown."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence

from mtljax.report.comparison_table import BEST, SECOND, Column, Table, table
from mtljax.report.runs import Comparison, Run

_RECORDED = {
    "seconds": (
        "step_median",
        "step_p95",
        "compile",
        "to_first_step",
        "training",
        "evaluation",
        "inference",
        "inference_8",
    ),
    "memory": ("bytes", "of"),
    "flops": ("step", "forward"),
}
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
    **{letter: "\\" + letter for letter in "{}$&#%_"},
}


def runs_csv(comparison: Comparison) -> str:
    """One line a run: method, seed, task, share, status, message, step, every metric, and what the run recorded.

    Args:
        comparison: whose runs, all of them, those that failed too.

    Returns:
        CSV with a heading. Numbers with all their digits; empty where a run has none; an empty task is all of them.

    Example:
        >>> from mtljax.report.runs import Comparison, Metric, Run
        >>> run = Run("equal()", seed=0, step=9, figures={"depth/AbsRel": 0.1 + 0.2})
        >>> text = runs_csv(Comparison([Metric("depth/AbsRel", False)], [run], ["equal()"]))
        >>> for line in text.splitlines():
        ...     print(line.split(",")[:8])
        ['method', 'seed', 'task', 'share', 'status', 'message', 'step', 'depth/AbsRel']
        ['equal()', '0', '', '1.0', 'done', '', '9', '0.30000000000000004']
    """
    metrics = [metric.name for metric in comparison.metrics]
    others = {name for run in comparison.runs for name in run.figures} - set(metrics)
    columns = [*metrics, *sorted(others)]
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    recorded = [f"{group}_{key}" for group, keys in _RECORDED.items() for key in keys]
    lines.writerow(["method", "seed", "task", "share", "status", "message", "step", *columns, *recorded, "parameters"])
    for run in comparison.runs:
        figures = [run.figures.get(name) for name in columns]
        head = [run.method, run.seed, run.task, run.share, run.status, run.message, run.step]
        lines.writerow([_exact(value) for value in (*head, *figures, *_recorded(run))])
    return out.getvalue()


def _recorded(run: Run) -> list:
    values = [(run.record.get(group) or {}).get(key) for group, keys in _RECORDED.items() for key in keys]
    return [*values, run.record.get("parameters")]


def _exact(value) -> str:
    if value is None:
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value)


def latex(comparison: Comparison, metrics: Sequence[str] | None = None) -> str:
    """The table of a comparison for LaTeX with booktabs: best bold, second underlined, ± standard error over seeds.

    Args:
        comparison: with its baseline.
        metrics: `<task>/<metric>` of the columns, by which delta_m and mean rank judge too. None: columns of each
            task's primary metric, delta_m and mean rank by all metrics.

    Returns:
        A `tabular` with its notes below, to stand in a `table`; the last lines say what it needs.

    Raises:
        UserError: for an unknown metric or baseline.
    """
    whole = table(comparison, metrics)
    arrows = {True: r" $\uparrow$", False: r" $\downarrow$"}
    headings = ["method", "n", *(escaped(_heading(one)) + arrows[one.higher_is_better] for one in whole.columns)]
    marked = "Best bold, second underlined."
    styles = {BEST: r"\mathbf", SECOND: r"\underline"}

    def cell(mean: str, error: str, place: str) -> str:
        shown = f"{styles[place]}{{{mean}}}" if place else mean
        if mean == "nan":
            return mean
        return f"${shown}" + (rf" \pm {error}$" if error else "$")

    def name(method: str, mark: str) -> str:
        return rf"\texttt{{{escaped(method)}}}{escaped(mark)}"

    lines = [
        rf"\begin{{tabular}}{{lr{'r' * len(whole.columns)}}}",
        r"\toprule",
        " & ".join(headings) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in _rows(whole, name, cell)),
        r"\bottomrule",
        r"\end{tabular}",
        r"\par\smallskip{\footnotesize\raggedright",
        *(escaped(note) + r"\par" for note in _notes(whole, marked)),
        "}",
        r"% Needs \usepackage{booktabs} and, for letters beyond ASCII, \usepackage[T1]{fontenc} or XeLaTeX.",
    ]
    return "\n".join(lines) + "\n"


def markdown(comparison: Comparison, metrics: Sequence[str] | None = None) -> str:
    """The table of a comparison in Markdown: best bold, second in italics; below it what failed or is missing.

    Args:
        comparison: with its baseline.
        metrics: as of `latex`.

    Raises:
        UserError: for an unknown metric or baseline.

    Example:
        >>> from mtljax.report.runs import Comparison, Metric, Run
        >>> runs = [Run("equal()", seed, figures={"a/error": x}) for seed, x in enumerate([1.0, 3.0])]
        >>> text = markdown(Comparison([Metric("a/error", False, primary=True)], runs, ["equal()"], baseline=None))
        >>> print(text.split("\\n\\n")[0])
        | method | n | a error (down) | mean rank (down) |
        |---|---|---|---|
        | `equal()` | 2 | 2.000 ± 1.000 | 1.00 |
    """
    whole = table(comparison, metrics)
    arrows = {True: " (up)", False: " (down)"}
    headings = ["method", "n", *(plain(_heading(one)) + arrows[one.higher_is_better] for one in whole.columns)]
    marked = "Best bold, second in italics."
    styles = {BEST: "**", SECOND: "*", "": ""}

    def cell(mean: str, error: str, place: str) -> str:
        return f"{styles[place]}{mean}{styles[place]}" + (f" ± {error}" if error else "")

    lines = [headings, ["---"] * len(headings), *_rows(whole, lambda method, mark: _code(method) + mark, cell)]
    text = ["| " + " | ".join(line) + " |" for line in lines]
    text[1] = text[1].replace(" ", "")
    return "\n".join(text) + "\n\n" + "".join(f"{plain(note)}  \n" for note in _notes(whole, marked))


def _rows(whole: Table, name: Callable[[str, str], str], cell: Callable[[str, str, str], str]) -> Iterator[list[str]]:
    """The cells of every method's row."""
    for method in whole.methods:
        row = [name(method, whole.marks[method]), str(whole.n[method])]
        for column in whole.columns:
            mean, error = column.shown(method)
            row.append(cell(mean, error, column.places.get(method, "")) if mean else "")
        yield row


def _notes(whole: Table, marked: str) -> list[str]:
    """The notes of a table, and how its best figures are marked where any is."""
    shown = [marked] if any(column.places for column in whole.columns) else []
    return [*whole.notes[:1], *shown, *whole.notes[1:]]


def _heading(column: Column) -> str:
    return column.name.replace("/", " ", 1)


def escaped(text: str) -> str:
    """Text that LaTeX shows as it is, on one line.

    Example:
        >>> print(escaped("a_b & 5 %"))
        a\\_b \\& 5 \\%
    """
    return "".join(_LATEX.get(letter, letter) for letter in _one_line(text))


def plain(text: str) -> str:
    """Text that Markdown shows as it is, in a table too, on one line.

    Example:
        >>> print(plain("<b>a|b"))
        \\<b\\>a\\|b
    """
    return re.sub(r"([\\`*_\[\]<>|~])", r"\\\1", _one_line(text))


def _code(text: str) -> str:
    """Text in Markdown's code, between more backticks than it has."""
    ticks = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    room = " " if "`" in text else ""
    return ticks + room + _one_line(text).replace("|", r"\|") + room + ticks


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
