"""A comparison as CSV, LaTeX and Markdown: every digit, every failure, nothing that a name could break."""

import csv
import dataclasses
import io
import re
import shutil
import subprocess

import pytest

from mtljax import report
from mtljax.errors import UserError
from mtljax.report import Run
from tests.report.made import comparison, joint

ODD = "<b>|`x`&$_{}#%~^\\\"'±"


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_every_run_and_every_digit():
    made = comparison(joint("equal()", 3, 0.1 + 0.2, float("nan"), 0.5, share=0.25))
    found = rows(report.runs_csv(made))
    assert len(found) == len(made.runs) == 13
    assert [(run.method, str(run.seed), run.task or "") for run in made.runs] == [
        (r["method"], r["seed"], r["task"]) for r in found
    ]
    for run, row in zip(made.runs, found, strict=True):
        for name, value in run.figures.items():
            assert repr(value) == row[name]
        assert float(row["share"]) == run.share
    assert (found[-1]["depth/AbsRel"], found[-1]["depth/delta1"]) == ("0.30000000000000004", "nan")
    failed = found[-2]
    assert (failed["status"], failed["message"], failed["step"]) == (
        "failed",
        "loss of 'depth' is nan, 100 % of it",
        "4",
    )
    assert failed["parts/mIoU"] == failed["seconds_step_median"] == failed["parameters"] == ""
    recorded = ("seconds_step_median", "memory_bytes", "memory_of", "flops_step", "flops_forward", "parameters")
    assert [found[-3][name] for name in recorded] == ["0.3", str(1 << 30), "process", "90.0", "30.0", "12"]


def test_markdown_shows_every_figure_and_marks_what_failed():
    text = report.markdown(comparison())
    head, _, *body = (line.strip("| ").split(" | ") for line in text.split("\n\n")[0].splitlines())
    table = {row[0]: dict(zip(head, row, strict=True)) for row in body}
    assert list(table) == ["`single`", "`equal()`", "`pcgrad()`†"]
    assert head[1:4] == ["n", "depth AbsRel (down)", "parts mIoU (up)"]
    assert table["`pcgrad()`†"]["n"] == "2"
    assert table["`pcgrad()`†"]["depth AbsRel (down)"] == "**0.1505** ± 0.0005"
    assert table["`single`"]["depth AbsRel (down)"] == "0.2100 ± 0.0058"
    # equal(): AbsRel 0.26 for 0.21, delta1 0.8 for 0.9, mIoU 0.46 for 0.5: 23.8, 11.1 and 8.0 % worse
    assert table["`equal()`"]["Δm over 2 tasks, % (down)"].startswith("*12.73* ±")
    assert table["`equal()`"]["Δm over 3 metrics, % (down)"].startswith("*14.31* ±")
    assert table["`single`"]["mean rank (down)"] == ""
    assert table["`pcgrad()`†"]["mean rank (down)"] == "**1.00**"
    assert table["`single`"]["seconds a step (down)"].startswith("0.4000")  # of both networks together
    assert "† pcgrad(), seed 2: failed at step 4: loss of 'depth' is nan, 100 % of it" in text
    assert "positive is worse" in text


def test_named_metrics_are_the_columns_and_what_counts():
    text = report.markdown(comparison(), ["depth/delta1"])
    assert "depth delta1 (up)" in text
    assert "AbsRel" not in text.split("\n\n")[0]
    assert "Δm over 1 metric, %" in text
    with pytest.raises(UserError, match="unknown metric: 'depth/delta2'; did you mean 'depth/delta1'"):
        report.markdown(comparison(), ["depth/delta2"])


def test_what_is_missing_is_said():
    unfinished = report.Run("equal()", 5, status="running")
    text = report.markdown(comparison(unfinished, joint("equal()", 6, float("nan"), 0.5, 0.5)))
    assert "‡ equal(): 1 run is not finished." in text
    assert "nan: there is no finite depth/AbsRel of equal(), seed 6." in text
    assert "| nan |" in text
    on_a_quarter = report.Run("equal()", 0, status="failed", message="of a quarter", share=0.25)
    text = report.markdown(comparison(on_a_quarter))
    assert "`equal()` |" in text
    assert "of a quarter" not in text
    assert "No Δm: there is no baseline." in report.markdown(comparison(baseline=None))
    assert "No Δm: the baseline none has no whole seed." in report.markdown(
        comparison(methods=("none", "equal()"), baseline="none")
    )
    with pytest.raises(UserError, match="unknown baseline: 'singel'; did you mean 'single'"):
        report.latex(comparison(baseline="singel"))


def test_a_baseline_of_zero_is_said():
    made = comparison()
    runs = [
        dataclasses.replace(r, figures=r.figures | ({"depth/delta1": 0.0} if r.task == "depth" else {}))
        for r in made.runs
    ]
    text = report.markdown(dataclasses.replace(made, runs=runs))
    assert "Δm is nan: depth/delta1 of the baseline is 0." in text


def test_a_killed_run_is_told_with_one_step():
    """The message says when it was killed; the run's record is of its last checkpoint."""
    killed = Run("equal()", 3, status="killed", step=2, message="killed by SIGKILL at step 3")
    text = report.markdown(comparison(killed))
    assert "† equal(), seed 3: killed by SIGKILL at step 3" in text
    assert "pcgrad(), seed 2: failed at step 4: loss of" in text


def test_a_baseline_that_may_be_zero_is_said():
    """Delta_m divides by it: R2 of 0.016 ± 0.110 made 120 % of what other metrics called 4."""
    made = comparison()
    near = {0: 0.2, 1: -0.1, 2: 0.05}
    runs = [
        dataclasses.replace(r, figures=r.figures | ({"depth/delta1": near[r.seed]} if r.task == "depth" else {}))
        for r in made.runs
    ]
    text = report.markdown(dataclasses.replace(made, runs=runs))
    assert "Δm divides by figures of single that are not told from 0, depth/delta1 0.05 ± 0.087" in text
    assert "not told from 0" not in report.markdown(made)


def balanced(text):
    """Whether braces, environments and math open and close."""
    bare = re.sub(r"\\[\\{}$&#%_]", "", re.sub(r"(?m)(?<!\\)%.*$", "", text))
    depth = 0
    for letter in bare:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if depth < 0:
            return False
    return depth == 0 and bare.count("$") % 2 == 0 and bare.count(r"\begin") == bare.count(r"\end")


def odd():
    return comparison(
        *(joint(ODD, s, 0.2, 0.9, 0.5) for s in range(2)),
        report.Run(ODD, 2, status="killed", message=ODD + "\nline 2"),
        methods=("single", "equal()", "pcgrad()", ODD),
    )


def test_latex_is_balanced_and_escaped():
    text = report.latex(odd())
    assert balanced(text)
    assert not balanced(text.replace(r"\}", "}"))
    widths = {line.replace(r"\&", "").count("&") for line in text.splitlines() if line.endswith(r" \\")}
    assert widths == {7}
    assert r"\texttt{\textless{}b\textgreater{}\textbar{}" in text
    assert r"\&\$\_\{\}\#\%\textasciitilde{}\textasciicircum{}\textbackslash{}" in text
    assert r"$\mathbf{0.1505} \pm 0.0005$" in text
    assert r"$\underline{-1.19} \pm" in text
    assert "100 \\% of it" in text
    assert text.splitlines()[-1].startswith(r"% Needs \usepackage{booktabs}")


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex")
def test_latex_compiles(tmp_path):
    page = "\\documentclass{article}\n\\usepackage{booktabs}\n\\usepackage[landscape]{geometry}\n\\begin{document}\n%s\\end{document}\n"
    (tmp_path / "page.tex").write_text(page % report.latex(odd()))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "page.pdf").stat().st_size > 1000


def test_markdown_takes_any_name():
    lines = report.markdown(odd()).split("\n\n")[0].splitlines()
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert "`` <b>\\|`x`&" in lines[-1]


def test_runs_on_a_part_of_the_examples_are_shown_where_none_had_all():
    parts = [joint("equal()", s, 0.25 + 0.01 * s, 0.8, 0.5, share=share) for s in range(2) for share in (0.25, 0.125)]
    made = report.Comparison(comparison().metrics, parts, ["equal()"], baseline=None)
    text = report.markdown(made)
    assert "| `equal()` | 2 | 0.2550 ± 0.0050 |" in text
    assert "Of runs on 0.25 of the training examples; none was on all." in text
    both = report.Comparison(made.metrics, [*parts, joint("equal()", 0, 0.5, 0.8, 0.5)], ["equal()"], baseline=None)
    assert "| `equal()` | 1 | 0.5000 |" in report.markdown(both)
    assert "training examples" not in report.markdown(both)
