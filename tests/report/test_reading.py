"""Folders of runs as one comparison: what has become of each, and what is refused."""

import fcntl
import json
import math
import os

import numpy as np
import pytest

from mtljax import report
from mtljax.errors import UserError
from mtljax.report.reading.comparisons import read_run
from mtljax.report.reading.curves import band, each_of, read_curves
from mtljax.report.reading.folders import held
from tests.report import made_folders as made


def statuses(workdir):
    return {(run.method, run.seed): (run.status, run.message) for run in report.read([workdir]).runs}


def test_a_comparison_is_read_from_its_folders(tmp_path):
    figures = made.comparison(tmp_path, shares=(1.0, 0.5), seeds=2)
    found = report.read([tmp_path])
    assert list(found.methods) == ["single", "equal()", "famo()", "pcgrad()"]
    assert (found.baseline, found.vary) == ("single", "balance")
    assert [metric.name for metric in found.metrics] == list(made.LEVELS)
    assert [metric.higher_is_better for metric in found.metrics] == [False, True, False, True, True]
    assert [metric.primary for metric in found.metrics] == [True, False, True, True, False]
    assert found.results() == figures
    assert found.results(0.5).keys() == figures.keys()
    assert found.results(0.5)["famo()"][0] != figures["famo()"][0]


def test_a_run_that_runs_while_nobody_holds_its_folder_was_killed(tmp_path):
    made.run(tmp_path / "a", "equal()", 0, status="running", outcome="")
    assert statuses(tmp_path) == {("equal()", 0): ("killed", "killed after step 200")}
    with (tmp_path / "a" / ".lock").open("w") as lock:
        assert not held(tmp_path / "a")
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert held(tmp_path / "a")
        assert statuses(tmp_path) == {("equal()", 0): ("running", "")}
    assert statuses(tmp_path)["equal()", 0][0] == "killed"


def test_a_process_of_another_host_holds_a_folder_while_it_gives_signs_of_life(tmp_path):
    made.run(tmp_path / "a", "equal()", 0, status="running", outcome="")
    lock = tmp_path / "a" / ".lock"
    lock.write_text('{"host": "elsewhere.example", "pid": 1}')
    assert statuses(tmp_path)["equal()", 0][0] == "running"
    os.utime(lock, (1.7e9, 1.7e9))
    assert statuses(tmp_path)["equal()", 0][0] == "killed"


def test_who_started_a_run_has_the_last_word_on_how_it_ended(tmp_path):
    for seed, (status, outcome) in enumerate(
        [("failed", "failed"), ("running", "killed"), ("stopped", "stopped"), ("stopped", ""), ("done", "")]
    ):
        made.run(tmp_path / str(seed), "equal()", seed, status=status, outcome=outcome, message="why")
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "job.json").write_text(json.dumps({"method": "equal()", "seed": 5, "outcome": ""}))
    found = statuses(tmp_path)
    assert [found["equal()", seed][0] for seed in range(6)] == [
        "failed",
        "killed",
        "stopped",
        "stopped",
        "done",
        "waiting",
    ]
    assert [found["equal()", seed][1] for seed in (0, 1, 4)] == ["why", "why", ""]


def test_figures_of_a_run_that_failed_do_not_count(tmp_path):
    made.run(tmp_path / "a", "equal()", 0)
    figures = json.loads((tmp_path / "a" / "run.json").read_text())["figures"]
    made.run(tmp_path / "b", "equal()", 1, status="failed", message="why")
    file = tmp_path / "b" / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"figures": figures}))
    found = report.read([tmp_path])
    assert found.results()["equal()"].keys() == {0}
    assert [run.figures for run in found.runs] == [figures, {}]


def test_null_is_nan(tmp_path):
    made.run(tmp_path / "a", "equal()", 0)
    file = tmp_path / "a" / "run.json"
    record = json.loads(file.read_text())
    record["figures"]["depth/AbsRel"] = None
    file.write_text(json.dumps(record))
    assert math.isnan(report.read([tmp_path]).runs[0].figures["depth/AbsRel"])


def alone(folder, config, tasks=("depth", "segment")):
    """A run that belongs to no comparison."""
    made.run(folder, config.get("balance", "equal()"), config.get("seed", 0), tasks=tasks)
    (folder / "job.json").unlink()
    (folder / "config.json").write_text(json.dumps({**config, "tasks": {task: f"{task}()" for task in tasks}}))
    return folder


def test_of_runs_trained_anyhow_the_method_is_what_differs(tmp_path):
    beside = ("log_every", "profile", "writers", "modules")
    folders = [alone(tmp_path / str(i), {"balance": b, "batch_size": 8, "seed": s} | dict.fromkeys(beside, i))
               for i, (b, s) in enumerate([("equal()", 0), ("equal()", 1), ("famo()", 0)])]  # fmt: skip
    folders.append(alone(tmp_path / "s", {"balance": "equal()", "batch_size": 8, "seed": 0}, tasks=("depth",)))
    found = report.read(folders)
    assert found.vary == "balance"
    assert {(run.method, run.seed, run.task) for run in found.runs} == {
        ("equal()", 0, None), ("equal()", 1, None), ("famo()", 0, None), ("single", 0, "depth"),
    }  # fmt: skip
    folders.append(alone(tmp_path / "wide", {"balance": "famo()", "batch_size": 16, "seed": 0}))
    found = report.read(folders)
    assert found.vary == "balance,batch_size"
    assert "balance=famo(), batch_size=16" in found.methods


def test_a_config_that_is_older_than_a_key_counts_as_one_with_its_default(tmp_path):
    older = {"balance": "famo()", "batch_size": 8}
    newer = older | {"max_skipped_in_row": 10, "balance_groups": [], "input": ""}
    folders = [alone(tmp_path / str(i), config | {"seed": i}) for i, config in enumerate((older, newer))]
    found = report.read(folders)
    assert (found.vary, list(found.methods)) == ("balance", ["famo()"])
    folders.append(alone(tmp_path / "2", newer | {"seed": 2, "max_skipped_in_row": 3}))
    found = report.read(folders)
    assert {(run.method, run.seed) for run in found.runs} == {("10", 0), ("10", 1), ("3", 2)}
    unknown = [folders[0], alone(tmp_path / "3", older | {"seed": 3, "warp": 0.5})]
    found = report.read(unknown)
    assert (found.vary, list(found.methods)) == ("warp", ["0.5", "(no such key)"])


def test_two_runs_of_one_method_and_seed_are_refused(tmp_path):
    for name in "ab":
        alone(tmp_path / name, {"balance": "equal()", "seed": 0})
    with pytest.raises(UserError, match="are runs of the same method 'equal\\(\\)' and seed 0"):
        report.read([tmp_path / "a", tmp_path / "b"])
    assert len(report.read([tmp_path / "a", tmp_path / "a"]).runs) == 1


def earlier(workdir):
    """What a comparison of an earlier version left."""
    workdir.mkdir()
    runs = {"single": {"0": {"depth/AbsRel": 0.2, "depth/delta1": 0.7, "segment/mIoU": 0.4}},
            "cagrad(c=0.4)": {"0": {"depth/AbsRel": 0.25, "depth/delta1": 0.7, "segment/mIoU": 0.5}}}  # fmt: skip
    (workdir / "compare.json").write_text(json.dumps(runs))
    headings = "| method | seeds | depth AbsRel (down) | segment mIoU (up) | gain over single, % (up; -delta_m) |"
    (workdir / "compare.md").write_text(headings + "\n|---|\n")
    folder = workdir / "cagrad-c=0.4" / "seed-0"
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text('{"step": 5, "split": "train", "depth/loss": 0.5}\n')
    return runs


def test_an_earlier_comparison_counts_as_done_and_is_not_lost_when_written_over(tmp_path):
    runs = earlier(tmp_path / "c")
    for _ in range(2):
        found = report.read([tmp_path / "c"])
        assert {run.status for run in found.runs} == {"done"}
        assert found.results() == {method: {int(s): own for s, own in seeds.items()} for method, seeds in runs.items()}
        assert [(metric.name, metric.higher_is_better) for metric in found.metrics] == [
            ("depth/AbsRel", False),
            ("segment/mIoU", True),
        ]
        assert [run.folder for run in found.runs][-1] == tmp_path / "c" / "cagrad-c=0.4" / "seed-0"
        report.write([tmp_path / "c"], tmp_path / "c")
    assert json.loads((tmp_path / "c" / "compare.json").read_text())["version"] == 2


def test_a_run_without_a_record_is_done_where_it_met_the_constant_predictor(tmp_path):
    made.run(tmp_path / "a", "equal()", 0)
    figures = json.loads((tmp_path / "a" / "run.json").read_text())["figures"]
    for name in ("run.json", "job.json"):
        (tmp_path / "a" / name).unlink()
    run = read_run(tmp_path / "a")
    assert (run.status, run.figures) == ("done", figures)
    lines = (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()
    (tmp_path / "a" / "metrics.jsonl").write_text("\n".join(lines[:-1]))
    assert (read_run(tmp_path / "a").status, read_run(tmp_path / "a").figures) == ("stopped", {})


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: (folder / "run.json").write_text("{"), "cannot read .*run.json"),
        (lambda folder: (folder / "job.json").write_text('{"seed": 0}'), "job.json.*'method'"),
        (lambda folder: (folder / "run.json").write_text("[]"), "expected a JSON object"),
    ],
)
def test_files_that_cannot_be_read_are_told(tmp_path, break_it, message):
    made.run(tmp_path / "a", "equal()", 0)
    break_it(tmp_path / "a")
    with pytest.raises(UserError, match=message):
        report.read([tmp_path])


def test_folders_without_runs_are_told(tmp_path):
    with pytest.raises(UserError, match="no run in"):
        report.read([tmp_path])
    with pytest.raises(UserError, match=r"no folder .*nowhere"):
        report.read([tmp_path / "nowhere"])
    with pytest.raises(UserError, match="at least"):
        report.read([])


def test_metrics_that_do_not_agree_are_refused(tmp_path):
    made.run(tmp_path / "a", "equal()", 0)
    made.run(tmp_path / "b", "famo()", 0)
    record = json.loads((tmp_path / "b" / "run.json").read_text())
    record["tasks"]["depth"]["metrics"]["AbsRel"] = True
    (tmp_path / "b" / "run.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"do not agree .* 'depth/AbsRel'"):
        report.read([tmp_path])


def write_lines(folder, lines, tail=""):
    folder.mkdir(exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + tail)


def test_curves_are_thinned_to_means_of_their_lines(tmp_path):
    lines = [{"step": i, "split": "train", "a/loss": float(i), "balance/cosine/a/b": (-1.0) ** i, "b/loss": None if i % 2 else 1.0}
             for i in range(1, 2001)]  # fmt: skip
    lines.insert(1000, {"step": 1000, "split": "validation", "a/error": 0.5})
    write_lines(
        tmp_path, [*lines, {"step": 2000, "split": "constant", "a/error": 1.0}], tail='{"step": 2001, "split": "tr'
    )
    found = read_curves(tmp_path, points=100, each=5)
    assert (found.logged, found.read, len(found.train["step"])) == (2001, 499, 100)  # of the cut line nothing
    np.testing.assert_allclose(found.train["a/loss"], found.train["step"])
    np.testing.assert_allclose(np.diff(found.train["step"])[:-1], 20, atol=0.5)
    assert set(found.train["b/loss"]) == {1.0}  # null is left out
    assert found.conflicts["a/b"][1] == 499
    assert 200 < found.conflicts["a/b"][0] < 300
    assert list(found.validation["a/error"]) == [0.5]
    whole = read_curves(tmp_path, points=3000)
    np.testing.assert_array_equal(whole.train["step"], np.arange(1, 2001))


def test_curves_are_the_same_however_the_file_is_cut(tmp_path, monkeypatch):
    write_lines(tmp_path, made.logged(("depth", "segment"), np.random.default_rng(0), 200, cosines=True))
    whole = read_curves(tmp_path)
    monkeypatch.setattr("mtljax.report.reading.curves._CHUNK", 700)
    cut = read_curves(tmp_path)
    assert whole.train.keys() == cut.train.keys()
    assert cut.logged == 20
    for key, values in whole.train.items():
        np.testing.assert_array_equal(values, cut.train[key])
    np.testing.assert_array_equal(whole.validation["depth/AbsRel"], cut.validation["depth/AbsRel"])
    assert len(cut.validation["step"]) == 3


def test_a_run_without_lines_has_no_curves(tmp_path):
    assert read_curves(tmp_path).train == read_curves(None).train == {}
    write_lines(tmp_path, [])
    assert read_curves(tmp_path).logged == 0


def test_many_runs_are_read_more_thinly():
    assert each_of(1) == each_of(60) == 5
    assert each_of(200) == each_of(10_000) == 1


def test_a_band_is_between_each_curves_ends():
    x = np.arange(1.0, 5)
    found = band([(x, 2 * x), (x[:2], x[:2]), (x, np.full(4, np.nan))])
    assert found is not None
    np.testing.assert_array_equal(found.x, x)
    np.testing.assert_array_equal(found.mean, [1.5, 3, 6, 8])
    np.testing.assert_array_equal(found.low, [1, 2, 6, 8])
    np.testing.assert_array_equal(found.high, [2, 4, 6, 8])
    assert found.seeds == 2
    assert band([(x, np.full(4, np.nan))]) is None
