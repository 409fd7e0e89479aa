"""The page of one training run."""

import base64
import dataclasses
import pathlib

from mtljax.errors import UserError
from mtljax.report.drawing.charts import Line, lines, styles
from mtljax.report.files import load
from mtljax.report.files import write as write_file
from mtljax.report.page import blocks
from mtljax.report.page.blocks import (
    Block,
    Cell,
    Code,
    Facts,
    Figures,
    Heading,
    Picture,
    Section,
    Table,
    Text,
    duration,
    size,
)
from mtljax.report.page.comparison_page import PAGE, rendered
from mtljax.report.page.context import recorded
from mtljax.report.page.overview import config_facts, environment
from mtljax.report.page.progress import conflict_cells, cosine_map, weight_lines
from mtljax.report.reading.comparisons import read_run
from mtljax.report.reading.curves import Curves, band, read_curves
from mtljax.report.reading.folders import CONFIG, JOB, RECORD, flat, last_figures
from mtljax.report.reading.folders import numbers as numbers_of
from mtljax.report.runs import Run

PANEL = "panel.png"
_MOST_PANEL = 8_000_000  # bytes of a panel that still stands in the page


@dataclasses.dataclass(frozen=True)
class _Own:
    """One run: its folder, what is known of it, what it logged, its tasks and the directions of its metrics."""

    folder: pathlib.Path
    run: Run
    curves: Curves
    tasks: list[str]
    ways: dict[str, bool]


def write_run(workdir: pathlib.Path) -> pathlib.Path:
    """Writes `report.html` of one run: status, figures, curves, task weights, cosines, panel, groups, config.

    Args:
        workdir: of a training run, at any time of it or after.

    Returns:
        The path of the page.

    Raises:
        UserError: where the folder holds no run, or the page cannot be written.
    """
    if not any((workdir / name).exists() for name in (RECORD, JOB, CONFIG)):
        raise UserError(f"no run in {str(workdir)!r}: neither {RECORD} nor {CONFIG} is there.")
    run, curves = read_run(workdir), read_curves(workdir)
    noted = run.record.get("tasks") or {}
    logged = [key.removesuffix("/loss") for key in curves.train if key.endswith("/loss")]
    ways = {f"{task}/{name}": bool(up) for task, one in noted.items() for name, up in one.get("metrics", {}).items()}
    own = _Own(workdir, run, curves, list(noted) or logged, ways)
    sections = [_status(own), _figures(own), _curves(own), _balancer(own), _panel(own), _config(own)]
    write_file(workdir / PAGE, rendered(f"Run {workdir.name}", sections))
    return workdir / PAGE


def _status(own: _Own) -> Section:
    run = own.run
    losses = ", ".join(f"{task} {value:.4g}" for task, value in (run.record.get("losses") or {}).items())
    steps, at = run.record.get("steps"), [int(series["step"][-1]) for series in (own.curves.train,) if series]
    facts = [
        ("status", run.status),
        ("message", run.message),
        ("step", f"{max([run.step, *at]):,}" + (f" of {steps:,}" if steps else "")),
        ("method", run.method),
        ("seed", str(run.seed)),
        ("share of the training examples", f"{run.share:g}" if run.share != 1 else ""),
        ("last losses", f"{losses} (step {run.record.get('losses_step')})" if losses else ""),
        ("a step, median", _told(duration(recorded(run, "seconds", "step_median")))),
        ("a step, p95", _told(duration(recorded(run, "seconds", "step_p95")))),
        ("compiling", _told(duration(recorded(run, "seconds", "compile")))),
        ("training", _told(duration(recorded(run, "seconds", "training")))),
        ("evaluating", _told(duration(recorded(run, "seconds", "evaluation")))),
        ("peak memory", _told(size(recorded(run, "memory", "bytes"), "B"))),
        ("FLOPs a step", _told(size(recorded(run, "flops", "step"), "FLOP"))),
        ("FLOPs an example, forward", _told(size(recorded(run, "flops", "forward"), "FLOP"))),
        ("parameters", f"{run.record['parameters']:,}" if run.record.get("parameters") else ""),
        *environment([run.record]),
    ]
    return Section("status", "Status", "", [Facts([(name, value) for name, value in facts if value])])


def _told(cell: Cell) -> str:
    return "" if cell.text == blocks.NOTHING else cell.text


def _figures(own: _Own) -> Section:
    figures = dict(own.run.figures) or last_figures(own.folder)
    if not figures:
        figures = {key: values[-1] for key, values in own.curves.validation.items() if key != "step" and len(values)}
    constant = numbers_of(own.run.record.get("constant") or {})
    title, intro = (
        "Figures",
        "On the validation split, the newest, and those of a predictor that knows the labels' mean.",
    )
    if not figures:
        return Section("figures", title, "", [Text(["The run has not been evaluated yet."])])
    ways = own.ways | {name: False for name in figures if name.endswith("/loss")}
    words = {True: "higher is better", False: "lower is better"}
    rows = [
        [
            Cell(name.replace("/", " ", 1), name),
            blocks.number(value),
            *([blocks.number(constant.get(name))] if constant else []),
            Cell(words[ways[name]] if name in ways else ""),
        ]
        for name, value in figures.items()
    ]
    names = ["figure", "value", *(["constant predictor"] if constant else []), "direction"]
    headings = [Heading(name) for name in names]
    return Section("figures", title, intro, [Table("Figures on validation", headings, rows)])


def _curves(own: _Own) -> Section:
    looks, series = styles(own.tasks), own.curves.train
    drawn = []
    losses = [
        Line(task, looks[task], over)
        for task in own.tasks
        if (over := band([(series["step"], series[f"{task}/loss"])] if f"{task}/loss" in series else [])) is not None
    ]
    if losses:
        alt = "Training losses against steps, a line a task."
        drawn.append(lines("losses", "Losses (train)", ("step", ""), losses, alt=alt))
    validation = own.curves.validation
    for name in own.ways:
        over = band([(validation["step"], validation[name])] if name in validation else [])
        if over is not None and len(over.x) > 1:
            task, _, metric = name.partition("/")
            line = Line(metric, looks[task], over)
            title = f"{name.replace('/', ' ', 1)} (validation)"
            drawn.append(lines(f"metric-{name}", title, ("step", ""), [line], alt=f"{title} against steps."))
    shown: list[Block] = [Figures("Against steps.", drawn)] if drawn else [Text(["Nothing is logged yet."])]
    read, logged = own.curves.read, own.curves.logged
    told = Text([f"Of {logged:,} logged steps {read:,} were read; a point is the mean of up to five of them."])
    return Section("curves", "Curves", "", [*shown, told])


def _balancer(own: _Own) -> Section:
    found = weight_lines([own.curves], styles(own.tasks))
    shown: list[Block] = []
    if found:
        alt = "Task weights against steps, a line a task."
        shown.append(Figures("", [lines("weights", "Task weights", ("step", "weight"), found, alt=alt)]))
    drawn = cosine_map("gradients", [own.curves])
    if drawn is not None:
        shown.append(Figures("Cosines between the tasks' gradients.", [drawn]))
        pairs = [*own.curves.conflicts, None]
        heads = [Cell("all pairs" if pair is None else pair.replace("/", " · "), pair or "") for pair in pairs]
        rows = [[head, *conflict_cells([own.curves], pair)] for head, pair in zip(heads, pairs, strict=True)]
        headings = [Heading("pair"), Heading("mean cosine"), Heading("in conflict, %")]
        shown.append(Table("Cosines and conflicts", headings, rows, ["Over the steps that were read."]))
    nothing = [Text(["No weights or cosines are logged."])]
    return Section("balancer", "Inside the balancer", "", shown or nothing)


def _panel(own: _Own) -> Section:
    file = own.folder / PANEL
    try:
        content = file.read_bytes() if file.exists() else b""
    except OSError as error:
        raise UserError(f"cannot read {str(file)!r}: {error.strerror or error}.") from error
    if not content:
        return Section("panel", "Panel", "", [Text(["The run has left no panel yet."])])
    if len(content) > _MOST_PANEL:
        return Section("panel", "Panel", "", [Text([f"{PANEL} is too large for a page: open it beside this one."])])
    picture = Picture(base64.b64encode(content).decode(), "Validation images with each task's label and prediction.")
    return Section("panel", "Panel", "Validation images: each task's label, and what is predicted.", [picture])


def _config(own: _Own) -> Section:
    groups = own.run.record.get("groups")
    shown: list[Block] = [Code("\n".join(map(str, groups)), "What is trained, and how:")] if groups else []
    found = flat(load(own.folder / CONFIG))
    shown.append(config_facts(found) if found else Text(["The run has left no config yet."]))
    return Section("config", "Groups and config", "", shown)
