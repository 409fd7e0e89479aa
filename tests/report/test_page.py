"""The page of a comparison: every figure follows from runs.csv, names are escaped, nothing is asked of anywhere."""

import csv
import json
import math
import re
import statistics
import subprocess
import sys

import pytest

from mtljax import report
from mtljax.errors import UserError
from mtljax.report.drawing.figures import file_name
from tests.report import made_folders as made
from tests.report.pages import Page

ODD = "<b>x</b></script> & $a$ \"'"
SECTIONS = ["compared", "table", "transfer", "pairs", "curves", "balancer", "cost", "promises", "runs"]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A comparison: a method with an odd name, one with a failed seed and a killed one, and parts of the examples."""
    folder = tmp_path_factory.mktemp("compared")
    made.comparison(folder, methods=("equal()", ODD), shares=(1.0, 0.5))
    made.run(folder / "nash" / "seed-0", "nash_mtl()", 0, cosines=True)
    made.run(
        folder / "nash" / "seed-1", "nash_mtl()", 1, status="failed", message="not finite <i>at all</i>", steps=120
    )
    made.run(
        folder / "nash" / "seed-2", "nash_mtl()", 2, status="running", outcome="killed", message="killed by SIGKILL"
    )
    return folder


@pytest.fixture(scope="module")
def page(workdir):
    return Page(report.write([workdir], workdir).read_text())


@pytest.fixture(scope="module")
def lines(workdir, page):
    with (workdir / "runs.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def done(lines, method, column, share=1.0):
    """The column of a method's whole seeds; of single networks, what is there of the task."""
    found = [
        line for line in lines if (line["method"], line["status"]) == (method, "done") and float(line["share"]) == share
    ]
    return [float(line[column]) for line in found if line[column]]


def test_all_sections_are_there_in_order(page):
    assert list(page.sections) == SECTIONS
    assert {f"#{name}" for name in SECTIONS} < set(page.addresses)


def test_nothing_is_asked_of_anywhere(workdir, page):
    text = (workdir / "report.html").read_text()
    assert all(re.match(r"#|data:", address) for address in page.addresses)
    for foreign in ("@import", "url(http", "url('http", "fetch(", "XMLHttpRequest", "import(", 'src="http', "//cdn"):
        assert foreign not in text
    assert not re.search(r"(?<!xmlns=\")https?://", text)


def test_every_identifier_is_one(page):
    assert len(page.ids) == len(set(page.ids))


def test_names_are_shown_as_they_are(workdir, page):
    text = (workdir / "report.html").read_text()
    assert "<b>x" not in text
    assert "<i>at all" not in text
    assert text.count("</script>") == 1
    assert ODD in {cells[0][0] for cells in page.table("Every method").rows}
    assert "not finite <i>at all</i>" in page.sections["runs"]
    assert ODD in page.sections["cost"]


def test_metrics_are_those_of_the_runs(page, lines):
    table = page.table("Every method")
    for metric in made.LEVELS:
        shown = table.column(metric.replace("/", " "))
        for method, value in shown.items():
            name = method.removesuffix(" †")
            assert value == pytest.approx(statistics.mean(done(lines, name, metric)), abs=1e-12), (metric, method)
    [cell] = [row[2] for row in table.rows if row[0][0] == "equal()"]
    values = done(lines, "equal()", "depth/AbsRel")
    error = statistics.stdev(values) / len(values) ** 0.5
    assert cell[0] == f"{statistics.mean(values):.4f} ± {error:.4f}"


def worsening(lines, method, metric, up):
    base = statistics.mean(done(lines, "single", metric))
    return [100 * (-1 if up else 1) * (value - base) / base for value in done(lines, method, metric)]


def delta(lines, method, metrics):
    """Delta_m of each seed over tasks, from the lines."""
    by_task = {}
    for metric in metrics:
        task, _, name = metric.partition("/")
        by_task.setdefault(task, []).append(worsening(lines, method, metric, made.METRICS[task][1][name]))
    tasks = [[statistics.mean(seed) for seed in zip(*rows, strict=True)] for rows in by_task.values()]
    return [statistics.mean(seed) for seed in zip(*tasks, strict=True)]


def test_delta_m_transfer_and_pairs_follow_from_the_runs(page, lines):
    own = {method: delta(lines, method, made.LEVELS) for method in ("equal()", ODD)}
    shown = page.table("Every method").column("Δm over 3 tasks")
    transfer = page.table("Negative transfer")
    for method, values in own.items():
        assert shown[method] == pytest.approx(statistics.mean(values))
        normals = worsening(lines, method, "normals/mean_angle", up=False)
        assert transfer.column("normals")[method] == pytest.approx(statistics.mean(normals))
    assert shown["single"] is None
    for row in page.table("Every two").rows:
        if {row[0][0], row[1][0]} == set(own):
            difference = [a - b for a, b in zip(own[row[0][0]], own[row[1][0]], strict=True)]
            assert float(row[3][1]["data-value"]) == pytest.approx(statistics.mean(difference))
            assert float(row[9][1]["data-value"]) == sum(d < 0 for d in difference) / 3


def test_costs_are_those_of_the_runs_and_their_ratios(page, lines):
    table = page.table("Cost")
    step, memory, flops = (table.column(name) for name in ("step, median", "peak memory", "FLOPs"))
    for method in ("equal()", ODD):
        assert step[method] == pytest.approx(statistics.mean(done(lines, method, "seconds_step_median")))
        assert memory[method] == pytest.approx(statistics.mean(done(lines, method, "memory_bytes")))
    assert step["single"] == pytest.approx(3 * 0.06)  # of three networks
    assert memory["single"] == pytest.approx(statistics.mean(done(lines, "single", "memory_bytes")))  # of the largest
    assert flops["single"] == pytest.approx(3 * statistics.mean(done(lines, "single", "flops_step")))
    for row in table.rows:
        assert float(row[3][1]["data-value"]) == pytest.approx(step[row[0][0]] / step["equal()"])


def test_every_number_of_the_runs_table_is_in_the_lines(page, lines):
    table = page.table("Every run")
    assert len(table.rows) == len(lines)
    known = {text for line in lines for text in line.values()}
    for row, line in zip(table.rows, lines, strict=True):
        assert (row[0][0], row[1][0], row[4][0]) == (line["method"], line["seed"], line["status"])
        for cell in row:
            if "data-value" in cell[1]:
                assert {cell[1]["data-value"], cell[1]["data-value"].removesuffix(".0")} & known, cell


def test_a_method_with_a_failed_seed_is_marked_in_every_table(page):
    marked = 0
    for table in page.tables:
        heads = [cells[0][0] for cells in table.rows] + [
            cells[1][0] for cells in table.rows if table.caption == "Every two methods"
        ]
        if table.headings[0] in ("method", "first") and table.caption != "Every run":
            assert "nash_mtl()" not in heads
            marked += "nash_mtl() †" in heads
    assert marked >= 6
    [row] = [row for row in page.table("Every method").rows if row[0][0].startswith("nash")]
    assert row[1][0] == "1 of 3"
    assert "1 failed, 1 killed" in page.sections["runs"]
    [killed] = [row for row in page.table("Every run").rows if "killed" in row[4][0]]
    assert [cell[0] for cell in killed if cell[0] in ("200", "killed by SIGKILL")] == ["200", "killed by SIGKILL"]


def test_promises_have_a_verdict_each(page):
    found = {table.caption: table for table in page.tables if table.section == "promises"}
    assert len(found) >= 5
    for caption, table in found.items():
        if not caption.startswith("Share of"):
            assert {row[4][0] for row in table.rows} <= {"holds", "does not hold", "not shown"}
    flops = page.table("One model answers").column("ratio of forward FLOPs")
    assert flops["equal()"] == pytest.approx(3**0.5 / 3)


def test_each_figure_is_drawn_in_the_page_and_in_files(workdir, page):
    svgs, pngs = ({file.stem for file in (workdir / "figures").glob(f"*.{ending}")} for ending in ("svg", "png"))
    assert svgs == pngs
    text = (workdir / "report.html").read_text()
    assert text.count('class="chart" role="img" aria-label="') == text.count("<svg ") == len(svgs)
    assert {"pairs", "transfer-depth", "curves-depth-loss-steps", "curves-segment-mIoU-seconds", "labels-depth"} < svgs
    assert {file_name("weights", ODD), file_name("cosines", "nash_mtl()")} < svgs
    assert "equal() (depth 1, normals 1, segment 1)" in page.sections["balancer"]


def test_the_script_hides_no_column_that_is_not_named(page):
    table = page.table("Every method")
    assert [h for h in table.headings if "better" in h][:2] == [
        "depth AbsRel ↓, lower is better",
        "depth delta1 ↑, higher is better",
    ]


def test_what_is_the_same_is_not_drawn_again(workdir, page, monkeypatch):
    before = {file.name: file.stat().st_mtime_ns for file in (workdir / "figures").iterdir()}
    text = (workdir / "report.html").read_text()
    monkeypatch.setattr("mtljax.report.drawing.charts.panel", None)
    assert report.write([workdir], workdir).read_text() == text
    assert {file.name: file.stat().st_mtime_ns for file in (workdir / "figures").iterdir()} == before
    with pytest.raises(TypeError):
        report.write([workdir], workdir, methods=["equal()"])


def test_the_other_files_hold_all_runs(workdir, page, lines):
    found = json.loads((workdir / "compare.json").read_text())
    assert found["version"] == 2
    assert len(found["runs"]) == len(lines)
    by = {(run["method"], run["seed"], run["task"], run["share"]): run for run in found["runs"]}
    assert by["equal()", 0, None, 1.0]["figures"]["depth/AbsRel"] == done(lines, "equal()", "depth/AbsRel")[0]
    assert by["nash_mtl()", 1, None, 1.0]["status"] == "failed"
    assert "equal()" in (workdir / "compare.md").read_text()
    assert r"\toprule" in (workdir / "table.tex").read_text()
    assert len((workdir / "report.html").read_bytes()) < 3_000_000


def test_a_comparison_that_has_just_begun_has_a_page(tmp_path):
    (tmp_path / "c" / "a" / "seed-0").mkdir(parents=True)
    job = {"version": 1, "vary": "balance", "method": "equal()", "seed": 0, "task": None, "share": 1.0, "outcome": ""}
    (tmp_path / "c" / "a" / "seed-0" / "job.json").write_text(json.dumps(job))
    page = Page(report.write([tmp_path / "c"], tmp_path / "out").read_text())
    assert list(page.sections) == SECTIONS
    assert "1 waiting" in page.sections["runs"]
    made.run(tmp_path / "c" / "b" / "seed-0", "famo()", 0, status="failed", message="why")
    page = Page(report.write([tmp_path / "c"], tmp_path / "out").read_text())
    assert "1 failed, 1 waiting" in page.sections["runs"]
    assert "famo() †" in page.sections["table"]
    assert not [file for file in tmp_path.rglob("*.tmp")]


def test_what_is_chosen_is_shown(workdir, tmp_path):
    chosen = report.write([workdir], tmp_path, methods=[ODD], baseline="equal()", metrics=["depth/delta1"])
    page = Page(chosen.read_text())
    table = page.table("Every method")
    assert {row[0][0] for row in table.rows} == {ODD, "equal()"}
    assert [h for h in table.headings if h.startswith(("depth", "segment"))] == ["depth delta1 ↑, higher is better"]
    assert "nash_mtl()" not in page.text
    assert "nash_mtl()" in (tmp_path / "runs.csv").read_text()
    assert math.isfinite(table.column("Δm over 1 task")[ODD])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"methods": ["equals()"]}, r"unknown method .*'equal\(\)'"),
        ({"baseline": "famo()"}, "unknown baseline"),
        ({"metrics": ["depth/AbsRal"]}, "did you mean 'depth/AbsRel'"),
    ],
)
def test_unknown_names_are_told(workdir, tmp_path, wrong, message):
    with pytest.raises(UserError, match=message):
        report.write([workdir], tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_a_page_that_cannot_be_written_is_told(workdir, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        report.write([workdir], tmp_path / "out")


def test_a_run_has_a_page_of_its_own(tmp_path):
    made.run(tmp_path / "a", "famo()", 3, cosines=True, groups=["group   parameters", "shared <all>   12"])
    from PIL import Image

    Image.new("RGB", (8, 8), "red").save(tmp_path / "a" / "panel.png")
    text = report.write_run(tmp_path / "a").read_text()
    page = Page(text)
    assert list(page.sections) == ["status", "figures", "curves", "balancer", "panel", "config"]
    figures = json.loads((tmp_path / "a" / "run.json").read_text())["figures"]
    shown = page.table("Figures on validation").column("value")
    assert shown == {name.replace("/", " ", 1): value for name, value in figures.items()}
    assert any(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert "shared <all>" in page.sections["config"]
    assert "famo()" in page.sections["status"]
    assert page.table("Cosines").column("in conflict")["all pairs"] > 0
    assert all(re.match(r"#|data:", address) for address in page.addresses)


def test_a_run_that_has_just_begun_has_a_page(tmp_path):
    (tmp_path / "config.json").write_text('{"balance": "equal()", "seed": 0, "tasks": {"depth": "depth()"}}')
    assert "not been evaluated yet" in Page(report.write_run(tmp_path).read_text()).sections["figures"]
    with pytest.raises(UserError, match="no run in"):
        report.write_run(tmp_path / "none")


def test_importing_reports_brings_in_nothing_that_draws():
    code = "import sys, mtljax.report; print({'matplotlib', 'jinja2', 'jax', 'scipy'} & set(sys.modules) - before)"
    code = "import sys, mtljax; before = {m for m in sys.modules if m != 'matplotlib'}; " + code
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
