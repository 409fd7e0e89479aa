"""metrics.jsonl and TensorBoard events."""

import json
import os
import time

import pytest

from mtljax.errors import UserError
from mtljax.train.run.writer import MetricWriter


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def write(workdir, start, steps, value=1.0):
    writer = MetricWriter(workdir, start)
    for step in steps:
        writer.write(step, "train", {"depth/loss": value * step})
    writer.close()


def test_one_object_a_line(tmp_path):
    begin = time.time()
    write(tmp_path, 0, [1, 2])
    assert [list(line) for line in lines(tmp_path)] == [["step", "split", "time", "depth/loss"]] * 2
    assert [(line["step"], line["split"], line["depth/loss"]) for line in lines(tmp_path)] == [
        (1, "train", 1.0),
        (2, "train", 2.0),
    ]
    assert begin <= lines(tmp_path)[0]["time"] <= lines(tmp_path)[1]["time"] <= time.time()


def test_figures_that_are_not_finite_are_null(tmp_path):
    write(tmp_path, 0, [1], value=float("nan"))
    assert lines(tmp_path)[0]["depth/loss"] is None


def test_a_resumed_run_tells_no_step_twice(tmp_path):
    write(tmp_path, 0, [1, 2, 3, 4])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "spl')  # killed while it wrote
    write(tmp_path, 2, [3, 4], value=10.0)
    assert [(line["step"], line["depth/loss"]) for line in lines(tmp_path)] == [(1, 1), (2, 2), (3, 30), (4, 40)]


def test_a_resumed_run_that_does_not_begin_drops_nothing(tmp_path):
    write(tmp_path, 0, [1, 2, 3, 4])
    MetricWriter(tmp_path, 2).close()
    assert len(lines(tmp_path)) == 4
    writer = MetricWriter(tmp_path, 2)
    writer.begin()
    assert len(lines(tmp_path)) == 2
    writer.close()


def test_lines_are_all_there_whenever_the_run_is_killed(tmp_path, monkeypatch):
    write(tmp_path, 0, [1, 2, 3, 4])

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        MetricWriter(tmp_path, 2).begin()
    assert len(lines(tmp_path)) == 4
    assert [path.name for path in tmp_path.glob("*metrics*")] == ["metrics.jsonl"]


def test_tensorboard_has_the_scalars(tmp_path):
    write(tmp_path, 0, [1, 2])
    [file] = (tmp_path / "tensorboard").iterdir()
    assert b"train/depth/loss" in file.read_bytes()


def test_a_workdir_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*metrics.jsonl"):
        MetricWriter(tmp_path, 0).write(1, "train", {})
