"""The check of a data set of one's own: what is right passes, and all that is wrong with an example is told at once."""

import pathlib
import re
import types

import numpy as np
import pytest
from PIL import Image

from mtljax import data
from mtljax.data import pipeline
from mtljax.data.check import faults
from mtljax.data.scenes.dataset import to_example
from mtljax.data.scenes.render import render_clip
from mtljax.errors import UserError

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "data.md"


@pytest.fixture(scope="module")
def clip():
    return to_example(render_clip(16, 3, 0, "train", 0))


def birds_of_docs():
    """The data set that the documentation shows, executed."""
    [block] = re.findall(r"```python\n(import csv.*?)```", DOCS.read_text(), re.DOTALL)
    module = types.ModuleType("birds")
    exec(block, module.__dict__)
    return module.birds


def test_a_folder_with_a_table_of_labels_is_ten_lines(tmp_path):
    lines = ["file,kind"]
    for i in range(10):
        Image.fromarray(np.full((4, 6, 3), 20 * i, np.uint8)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{('finch', 'owl')[i % 2]}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    birds = birds_of_docs()(str(tmp_path))
    data.check(birds)
    assert isinstance(birds, data.DataSet)
    train, held_out = birds.split("train"), birds.split("validation")
    assert (len(train), len(held_out)) == (8, 2)
    batch = next(pipeline.eval_batches(held_out, 2))
    np.testing.assert_array_equal(batch["kind"], [0, 1])  # 4 and 9
    np.testing.assert_allclose(batch["image"][:, 0, 0, 0, 0], np.array([80, 180]) / 255, rtol=1e-6)
    with pytest.raises(UserError, match=r"unknown split of birds: 'trian'; did you mean 'train'"):
        birds.split("trian")
    (tmp_path / "labels.csv").write_text("\n".join(lines).replace("0.png", "lost.png"))
    with pytest.raises(UserError, match=r"lost.png' does not decode"):
        data.check(birds)


def test_what_scenes_gives_is_right(clip):
    assert list(faults(clip, data.scenes("tiny").meanings)) == []
    still = {key: value for key, value in clip.items() if "instances" not in key and "segmentations" not in key}
    assert list(faults(still)) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"image": np.zeros((3, 3, 16, 16), np.uint8)},
            ["image: shape (3, 3, 16, 16), which looks like channels first"],
        ),
        ({"image": np.zeros((3, 16, 16, 3))}, ["image: float64; expected uint8, or float32"]),
        ({"image": np.full((3, 16, 16, 3), 200, np.float32)}, ["image: float32 up to 200, which looks like 8 bits"]),
        ({"image": np.zeros((3, 16, 16, 1), np.uint8)}, ["image: shape (3, 16, 16, 1); expected (s, H, W, 3)"]),
        ({"depth": np.ones((3, 16, 16), np.float32)}, ["depth: shape (3, 16, 16); expected (s, H, W, 1)"]),
        ({"depth": np.zeros((3, 16, 16, 1), np.float32)}, ["depth: is 0 where it is valid; expected metres above 0"]),
        ({"depth": np.full((3, 16, 16, 1), np.nan, np.float32)}, ["depth: holds numbers that are not finite"]),
        ({"depth_valid": np.zeros((3, 16, 16, 1), bool)}, ["depth: is not 0 where it is not valid"]),
        ({"normal": np.ones((3, 16, 16, 3), np.float32)}, ["normal: is of another length than 1"]),
        ({"normal": np.ones((3, 16, 16, 3))}, ["normal: float64; expected float32"]),
        (
            {"semantic": np.full((3, 16, 16, 1), 9, np.int32)},
            ["semantic: is 9 .. 9; expected classes 0 .. 4, of 5 names"],
        ),
        ({"edge": np.full((3, 16, 16, 1), 255, np.uint8)}, ["edge: is 255 somewhere; expected 0 and 1"]),
        ({"edge_valid": np.ones((3, 16, 16), bool)}, ["edge_valid: shape (3, 16, 16); expected (3, 16, 16, 1)"]),
        ({"edge_valid": np.ones((3, 16, 16, 1), np.uint8)}, ["edge_valid: uint8; expected bool"]),
        (
            {"moving_valid": np.ones((3, 16, 16, 1), bool)},
            ["moving: is valid on the last frame, which has no frame beyond"],
        ),
        ({"frame_index": np.array([0, 2, 4], np.int32)}, ["frame_index: is [0, 2, 4]; expected consecutive numbers"]),
        ({"kind": np.int32(1)}, ["kind: has no mask; expected kind_valid"]),
        ({"kind_valid": np.array(True)}, ["kind_valid: has no label; expected kind"]),
        ({"objects_valid": np.array([True, False, True])}, []),
        ({"objects_valid": np.ones((3, 1), bool)}, ["objects_valid: shape (3, 1); expected (s,) = (3,)"]),
        ({"kind": "owl", "kind_valid": np.array(True)}, ["kind: str, no array; expected an array of NumPy"]),
        (
            {"camera": {"quaternions": np.ones((3, 4), np.float32)}},
            ["camera: quaternions: is of another length than 1"],
        ),
        ({"camera": {"positions": np.ones((2, 3), np.float32)}}, ["camera: positions: shape (2, 3); expected (s, 3)"]),
        ({"camera": {"intrinsics": np.ones((3, 3), np.float32)}}, ["camera: intrinsics: is [[1.0, 1.0, 1.0]"]),
        (
            {"depth": np.ones((3, 8, 16, 1)), "edge_valid": np.ones((3, 16, 16, 1), np.uint8), "kind": np.int64(1)},
            [
                "depth: float64; expected float32",
                "depth: shape (3, 8, 16, 1); expected (s, H, W, 1) = (3, 16, 16, 1)",
                "edge_valid: uint8; expected bool",
                "kind: has no mask",
                "kind: int64; expected float32 or int32",
            ],
        ),
    ],
)
def test_each_fault_is_told_and_all_of_one_example_at_once(clip, change, told):
    found = list(faults(clip | change, data.scenes("tiny").meanings))
    assert len(found) == len(told)
    assert all(any(line.startswith(one) for line in found) for one in told), found


class Reading:
    labels = ("kind", "dept")


def test_the_example_is_named_and_so_are_labels_that_tasks_read_and_examples_that_differ():
    def made(index, side=4):
        depth = np.ones((1, side, 6, 1), np.float32)
        return {"image": np.zeros((1, side, 6, 3), np.uint8), "depth": depth, "depth_valid": depth > 0}

    data.check(data.Files(range(9), made))
    source = data.Files(range(300), lambda i: made(i) | ({"depth": np.float32(2)} if i >= 250 else {}))
    with pytest.raises(
        UserError, match=r"the source, example 251:\n  depth: shape \(\); expected \(s, H, W, 1\) = \(1, 4, 6, 1\)$"
    ):
        data.check(source)
    with pytest.raises(UserError, match=r"example 1:\n  image: shape .*5, 6.*; example 0 has .*4, 6.*\n  depth: shape"):
        data.check(data.Files(range(2), lambda i: made(i, 4 + i)))
    with pytest.raises(UserError, match=r"kind: is not there.*'a' reads it\n  dept: .* did you mean 'depth'"):
        data.check(data.Files(range(2), made), {"a": Reading()})
    with pytest.raises(UserError, match="example 0:\n  list; expected a dict of arrays"):
        data.check([[1]])
    with pytest.raises(UserError, match="the source has no examples"):
        data.check([])
