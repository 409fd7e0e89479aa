"""Pages: a comparison's with all its files, and the templates that make HTML of sections."""

import functools
import pathlib
from collections.abc import Sequence

from mtljax.report.drawing.kept import figures_in
from mtljax.report.files import made, write_json
from mtljax.report.files import write as write_file
from mtljax.report.page import costs, fronts, overview, progress, promise_tables, standings
from mtljax.report.page.blocks import Figures, Section
from mtljax.report.page.context import Context, metrics_of, selected
from mtljax.report.reading.comparisons import read
from mtljax.report.reading.curves import each_of, read_curves
from mtljax.report.reading.earlier import RESULTS, TABLE, VERSION, keep_earlier
from mtljax.report.runs import Comparison
from mtljax.report.tables import latex, markdown, runs_csv

PAGE, CSV, LATEX, FIGURES = "report.html", "runs.csv", "table.tex", "figures"
_TEMPLATES = pathlib.Path(__file__).parent / "templates"
_FIGURES_OF_ALL = ("transfer", "pairs", "front", "curves", "weights", "cosines", "cost", "labels")


def write(
    workdirs: Sequence[pathlib.Path],
    out: pathlib.Path,
    *,
    methods: Sequence[str] | None = None,
    baseline: str | None = None,
    metrics: Sequence[str] | None = None,
) -> pathlib.Path:
    """Writes the report of all runs that are there: of a comparison that is half done, too.

    Leaves `report.html`, one file that needs nothing else; `runs.csv`, a line a run; `compare.json`, every figure of
    every run; the table as `table.tex` and `compare.md`; and `figures/`, each as PNG and SVG. Each file is written
    whole or not at all.

    Args:
        workdirs: of comparisons or of single runs; see `read`.
        out: the folder to write to, made if need be.
        methods: that the page and its tables show; None for all.
        baseline: that the others are held against; None for `single`, if that is there.
        metrics: `<task>/<metric>` that methods are judged by; None for all, of which each task's primary one is shown.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: where there is no run, a name is unknown, or a file cannot be read or written.
    """
    whole = read(workdirs)
    comparison = selected(whole, methods, baseline)
    judged, shown = metrics_of(comparison, metrics)
    each = each_of(len(comparison.runs))
    curves = [read_curves(run.folder, each=each) for run in comparison.runs]
    context = Context(comparison, judged, shown, curves, list(workdirs))
    with figures_in(made(out / FIGURES)):
        sections = sections_of(context)
    keep_earlier(out)
    _write_figures(sections, out / FIGURES)
    write_file(out / CSV, runs_csv(whole))
    write_json(out / RESULTS, _figures(whole))
    if judged:
        write_file(out / LATEX, latex(comparison, metrics))
        write_file(out / TABLE, markdown(comparison, metrics))
    write_file(out / PAGE, rendered(f"Comparison of {comparison.vary}", sections))
    return out / PAGE


def sections_of(context: Context) -> list[Section]:
    """The sections of a comparison's page, from top to bottom."""
    return [
        overview.compared(context),
        standings.table(context),
        standings.transfer(context),
        standings.pairs(context),
        *fronts.traded(context),
        progress.curves(context),
        progress.balancer(context),
        costs.cost(context),
        promise_tables.promises(context),
        overview.runs(context),
    ]


def rendered(title: str, sections: Sequence[Section]) -> str:
    """A page in one file: names are escaped, and nothing is asked of anywhere."""
    return _environment().get_template("page.html.j2").render(title=title, sections=sections)


def _write_figures(sections: Sequence[Section], folder: pathlib.Path) -> None:
    """Writes each figure as SVG and PNG, and takes away those of an earlier report that are not in this one."""
    drawn = [
        one for section in sections for block in section.blocks if isinstance(block, Figures) for one in block.drawn
    ]
    files: dict[str, bytes] = {}
    for one in drawn:
        files |= {f"{one.name}.svg": one.svg.encode(), f"{one.name}.png": one.png}
    for name, content in files.items():
        file = folder / name
        if not file.exists() or file.read_bytes() != content:
            write_file(file, content)
    for file in folder.iterdir():
        if file.suffix in (".svg", ".png") and file.name.startswith(_FIGURES_OF_ALL) and file.name not in files:
            file.unlink(missing_ok=True)  # of an earlier report


def _figures(comparison: Comparison) -> dict:
    """Every figure of every run, null where it is not finite."""
    runs = []
    for run in comparison.runs:
        known = {"method": run.method, "seed": run.seed, "task": run.task, "share": run.share, "status": run.status}
        figures = {name: value if abs(value) < float("inf") else None for name, value in run.figures.items()}
        runs.append(known | {"message": run.message, "step": run.step, "figures": figures})
    return {"version": VERSION, "vary": comparison.vary, "baseline": comparison.baseline, "runs": runs}


@functools.cache
def _environment():
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
