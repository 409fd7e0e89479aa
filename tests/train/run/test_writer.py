"""metrics.jsonl and TensorBoard events."""

import json
import os
import struct
import time

import pytest
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from mtljax.errors import UserError
from mtljax.train.run.writer import MetricWriter


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def events(file):
    """The records of an event file: a length, its checksum, the bytes, their checksum."""
    data, place = file.read_bytes(), 0
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        yield Event.FromString(data[place + 12 : place + 12 + length])
        place += 16 + length


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


def test_a_line_in_the_hparams_view_stands_in_the_folder_of_the_run(tmp_path):
    """Read as TensorBoard reads it: a session's start with the settings, its end, and no experiment."""
    writer = MetricWriter(tmp_path, 0)
    writer.write(1, "validation", {"depth/AbsRel": 0.25})
    writer.settings({"steps": 1, "balance": "equal()", "remat": False, "tasks": {"a": 1}})
    writer.close()
    [file] = (tmp_path / "tensorboard").iterdir()
    told = {}
    for event in events(file):
        for value in event.summary.value:
            told.setdefault(value.tag, value)
    assert {"_hparams_/session_start_info", "_hparams_/session_end_info", "validation/depth/AbsRel"} <= set(told)
    assert "_hparams_/experiment" not in told
    start = HParamsPluginData.FromString(told["_hparams_/session_start_info"].metadata.plugin_data.content)
    given = start.session_start_info.hparams
    assert {key: given[key].WhichOneof("kind") for key in given} == {
        "steps": "number_value",
        "balance": "string_value",
        "remat": "bool_value",
    }
    assert (given["steps"].number_value, given["balance"].string_value) == (1, "equal()")
