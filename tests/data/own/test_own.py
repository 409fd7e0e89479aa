"""Data without a class: arrays, tables and rows of any kind become examples in the one form, with what is missing told."""

import collections
import pathlib
import pickle
import re
import types

import grain
import numpy as np
import pytest
from PIL import Image

from mtljax import data
from mtljax.data import pipeline
from mtljax.data.own import splits
from mtljax.errors import UserError
from mtljax.train.config.callstring import resolve
from tests.data.own.test_forms import GREY, RGB, all_of


class ByNumber:
    """A data set as PyTorch has them: a length, and a row by its number."""

    def __init__(self, rows):
        self._rows = rows

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, index):
        return self._rows[index]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten pictures of which the i-th is as bright as 20 i, and a table with gaps."""
    root = tmp_path_factory.mktemp("birds")
    lines = ["file;age;kind;colours;part;owner;mask"]
    for i in range(10):
        Image.fromarray(np.full((4, 6, 3), 20 * i, np.uint8)).save(root / f"{i}.png")
        kind, age = ("", "owl", "finch")[i % 3], "" if i == 2 else "NaN" if i == 3 else f"{i}.5"
        colours = ("red|brown", "", "brown")[i % 3]
        lines.append(
            f"{i}.png;{age};{kind};{colours};{'val' if i > 7 else 'train'};{i // 2};{'m.png' if i % 2 else ''}"
        )
    Image.fromarray(np.uint8([[0, 1, 2, 255, 0, 0]] * 4)).save(root / "m.png")
    (root / "labels.csv").write_text("\ufeff" + "\n".join(lines) + "\n\n")
    return root


def birds(folder, labels=None, **changes):
    labels = labels or {"age": float, "kind": str, "colours": "tags"}
    return data.from_table(str(folder / "labels.csv"), labels=labels, **{"split": "part"} | changes)


def test_a_table_beside_pictures(folder):
    made = birds(folder)
    data.check(made)
    assert isinstance(made, data.DataSet)
    train, held_out = made.split("train"), made.split("validation")
    assert (len(train), len(held_out)) == (8, 2)
    assert [int(example["image"][0, 0, 0, 0]) for example in train] == [20 * i for i in range(8)]
    assert made.meanings == {"kind": ("finch", "owl"), "colours": ("brown", "red")}
    assert [(float(e["age"]), bool(e["age_valid"])) for e in train][1:5] == [
        (1.5, True),
        (0, False),
        (0, False),
        (4.5, True),
    ]
    assert [(int(e["kind"]), bool(e["kind_valid"])) for e in train][:3] == [(0, False), (1, True), (0, True)]
    assert [(e["colours"].tolist(), e["colours_valid"].tolist()) for e in train][:3] == [
        ([1, 1], [True]),
        ([0, 0], [False]),
        ([1, 0], [True]),
    ]
    assert str(made).splitlines() == [
        "labels.csv: train 8, validation 2",
        "  age: number; missing in 2 of 10 rows",
        "  kind: classes 0 finch, 1 owl; missing in 4 of 10 rows",
        "  colours: tags 0 brown, 1 red; missing in 3 of 10 rows",
    ]
    batch = next(iter(pipeline.eval_batches(held_out, 2)))
    assert (batch["age"].shape, batch["age_valid"].tolist(), batch["colours"].dtype) == ((2,), [True, True], np.uint8)


def test_the_lines_of_the_documentation_run(tmp_path, monkeypatch, capsys):
    (tmp_path / "birds").mkdir()
    for i in range(5):
        Image.new("RGB", (6, 4)).save(tmp_path / "birds" / f"{i}.png")
    lines = ["file,age,kind", *(f"{i}.png,{i or ''},{('owl', 'finch')[i % 2]}" for i in range(5))]
    (tmp_path / "birds" / "labels.csv").write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)
    page = (pathlib.Path(__file__).parents[3] / "docs" / "data.md").read_text()
    [block] = re.findall(r"```python\n(import mtljax as mtl\n.*?)```", page, re.DOTALL)
    exec(block, {})
    assert "kind: classes 0 finch, 1 owl" in capsys.readouterr().out


def test_a_table_in_a_config(folder):
    text = f"from_table({str(folder / 'labels.csv')!r}, images={str(folder)!r}, labels={{'age': 'float', 'kind': ['owl', 'finch']}})"
    made = resolve(text, data.SOURCES, kind="data", returns=data.DataSet)
    assert made.meanings == {"kind": ("owl", "finch")}
    assert len(made.split("train")) == 8
    assert len(pickle.loads(pickle.dumps(made)).split("validation")[0]) == 5


def test_maps_of_a_table(folder):
    made = birds(folder, {"mask": "map"}, size=(8, 12))
    data.check(made)
    there, lacking = made.split("train")[1], made.split("train")[0]
    assert there["mask"].shape == there["mask_valid"].shape == (1, 8, 12, 1) == (*there["image"].shape[:3], 1)
    assert there["mask"][0, 0, ::2, 0].tolist() == [0, 1, 2, 255, 0, 0]
    assert not lacking["mask_valid"].any()


def test_columns_of_numbers_stand_for_pictures(folder):
    made = birds(folder, {"kind": str}, features=["owner"], split=None)
    assert made.split("train")[3]["image"].dtype == np.float32
    assert sorted(float(e["image"][0]) for e in all_of(made)) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_a_second_table_is_held_out(folder):
    made = birds(folder, split=None, validation=str(folder / "labels.csv"))
    assert len(made.split("train")) == len(made.split("validation")) == 10


def test_shares_are_drawn_by_a_seed_and_keep_together_what_is_one(folder):
    sides = [
        frozenset(e["image"][0, 0, 0, 0] // 20 for e in birds(folder, split=None, seed=s).split("validation"))
        for s in (0, 0, 1, 2)
    ]
    assert sides[0] == sides[1]
    assert len(set(sides)) > 1
    pairs = birds(folder, split=None, together="owner", validation=0.4).split("validation")
    owners = collections.Counter(int(e["image"][0, 0, 0, 0]) // 40 for e in pairs)
    assert list(owners.values()) == [2, 2]
    groups = [0, 1, 1, 2]
    parts = splits.by_share("f", groups, 0.01, seed=3)
    assert not {groups[i] for i in parts["train"]} & {groups[i] for i in parts["validation"]}


def test_one_picture_on_two_lines_is_in_one_split(tmp_path):
    for i in range(3):
        Image.new("RGB", (6, 4), (i, 0, 0)).save(tmp_path / f"{i}.png")
    (tmp_path / "a.csv").write_text("file,n\n" + "".join(f"{i % 3}.png,{i}\n" for i in range(30)))
    made = data.from_table(str(tmp_path / "a.csv"), labels={"n": "int"}, validation=0.3)
    sides = [{int(e["image"][0, 0, 0, 0]) for e in made.split(split)} for split in ("train", "validation")]
    assert [len(side) for side in sides] == [2, 1]
    assert not sides[0] & sides[1]


def test_rows_go_together_by_picture_and_by_owner_and_not_by_what_is_missing(tmp_path):
    for i in range(12):
        Image.new("RGB", (6, 4), (i, 0, 0)).save(tmp_path / f"{i}.png")
    lines = [f"{i}.png,{i},{'ann' if i < 2 else ''}" for i in range(12)] + ["1.png,1,bob", "2.png,2,bob"]
    (tmp_path / "a.csv").write_text("\n".join(["file,n,who", *lines]))
    arguments = {"labels": {"n": "int"}, "together": "who", "validation": 0.4}
    for seed in range(4):
        made = data.from_table(str(tmp_path / "a.csv"), seed=seed, **arguments)
        train, held_out = ({int(e["n"]) for e in made.split(split)} for split in ("train", "validation"))
        assert len(train) + len(held_out) == 12  # no picture is in both
        assert {0, 1, 2} <= train or {0, 1, 2} <= held_out  # ann's, bob's, and one of both
        assert len(held_out) in (4, 6)  # four of ten groups
    (tmp_path / "a.csv").write_text("\n".join(["file,n,who", *lines[:2]]))
    with pytest.raises(UserError, match="all 2 rows go together"):
        data.from_table(str(tmp_path / "a.csv"), **arguments)


def test_arrays_and_a_file_of_them(tmp_path):
    arrays = {
        "image": RGB,
        "kind": np.array(["owl", "finch"] * 5),
        "age": np.arange(10)[:, None] / 2,
        "n": np.arange(10),
    }
    np.savez(tmp_path / "a.npz", **arrays)
    for given in (arrays, str(tmp_path / "a.npz")):
        made = data.from_arrays(given, validation=0.3)
        data.check(made)
        assert (len(made.split("train")), len(made.split("validation"))) == (7, 3)
        assert made.meanings == {"kind": ("finch", "owl")}
        example = made.split("train")[0]
        assert [example[key].shape for key in ("age", "n", "kind")] == [(), (), ()]
    vectors = data.from_arrays(
        {"x": np.ones((10, 5)), "y": np.arange(10)}, inputs="x", validation={"x": np.ones((3, 5)), "y": [0, 1, 2]}
    )
    assert vectors.split("validation")[2]["image"].shape == (5,)


def test_inputs_may_be_any_tree():
    rows = [{"age": 3.5, "words": [i, 7], "kind": i % 2} for i in range(6)]
    made = data.from_iterable(rows, inputs=["age", "words"])
    data.check(made)
    batch = next(iter(pipeline.train_batches(made.split("train"), 2, seed=0, keep=["kind"])))
    assert {key: (value.shape, value.dtype.name) for key, value in batch["inputs"].items()} == {
        "age": ((2,), "float32"),
        "words": ((2, 2), "int32"),
    }


def test_rows_of_other_libraries():
    rows = [(GREY, i % 3) for i in range(12)]
    for given in (ByNumber(rows), grain.MapDataset.source(rows)):
        made = data.from_iterable(given, names=("image", "digit"))
        assert collections.Counter(int(e["digit"]) for e in all_of(made)) == {0: 4, 1: 4, 2: 4}
    mapped = grain.MapDataset.source(rows).map(lambda row: {"image": row[0], "digit": row[1]})
    assert len(data.from_iterable(mapped).split("train")) == 10


def test_a_hugging_face_data_set_names_its_classes_and_leaves_out_pictures_where_only_names_are_sought():
    class Named:
        names = ("zero", "one")

    class HuggingFace(ByNumber):
        features = types.MappingProxyType({"label": Named(), "word": object()})
        read = 0

        def select_columns(self, keys):
            return ByNumber([{key: row[key] for key in keys} for row in self._rows])

        def __getitem__(self, index):
            HuggingFace.read += 1
            return super().__getitem__(index)

    rows = [{"image": Image.fromarray(GREY), "label": i % 2, "word": ("a", "b", "c")[i % 3]} for i in range(300)]
    given = {"train": HuggingFace(rows), "test": HuggingFace(rows), "dev": HuggingFace(rows)}
    made = data.from_iterable(given)
    assert HuggingFace.read <= 4 * 64
    assert made.meanings == {"label": ("zero", "one"), "word": ("a", "b", "c")}
    assert len(made.split("test")) == len(made.split("validation")) == 300
