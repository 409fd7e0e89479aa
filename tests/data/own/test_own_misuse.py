"""What goes wrong with data of one's own: each one clear message that says where, what was found and what was expected."""

import grain
import numpy as np
import pytest
from PIL import Image

from mtljax import data
from mtljax.errors import UserError
from mtljax.train.config.callstring import resolve

GREY = np.zeros((4, 6), np.uint8)
ROW = {"image": GREY, "age": 1.0, "kind": "owl"}


def rows(**changes):
    """Six rows, of which the fourth is another."""
    return [ROW | {"kind": ("owl", "finch")[i % 2]} | (changes if i == 3 else {}) for i in range(6)]


def read(made):
    for split in ("train", "validation"):
        yield from made.split(split)


def iterable(given, **arguments):
    return list(read(data.from_iterable(given, **arguments)))


def changed(**changes):
    """Reads rows of which the fourth is another, by the kinds that are told."""
    return lambda: iterable(rows(**changes), labels={"age": float, "kind": ("finch", "owl")})


def arrays(**changes):
    given = {"image": np.zeros((6, 4, 6, 3), np.uint8), "n": np.arange(6)} | changes
    return lambda: list(read(data.from_arrays(given)))


def renamed(old, new):
    return [{new if key == old else key: value for key, value in row.items()} for row in rows()]


MISUSES = {
    "a generator": (lambda: iterable(row for row in rows()), "generator has no rows by number.*expected rows with a len.*as list"),
    "a stream of grain": (
        lambda: iterable(grain.MapDataset.source(rows()).to_iter_dataset()),
        "IterDataset has no rows by number",
    ),
    "an endless map of grain": (lambda: iterable(grain.MapDataset.source(rows()).repeat()), "without an end; expected it before rep"),
    "no rows": (lambda: iterable([]), "a list without rows"),
    "one row": (lambda: iterable(rows()[:1]), "1 rows are too few to hold some out; expected at least 2"),
    "a dict of arrays as rows": (lambda: iterable({"image": np.zeros((6, 4, 6))}), r"'image' is a ndarray is no rows.*from_arrays\("),
    "rows as arrays": (lambda: data.from_arrays(rows()), "a list; expected arrays by name"),
    "tuples": (lambda: iterable([(GREY, 1)] * 4), r"row 0 is a tuple of 2; expected a dict .*names=\('image', 'kind'"),
    "tuples with other parts": (
        lambda: iterable([(GREY, 1, 2)] * 4, names=("image", "kind")),
        r"row 0 has 3 parts; expected 2: \('image', 'kind'\)",
    ),
    "numbers as rows": (lambda: iterable([1, 2, 3]), "row 0 is a int; expected a dict"),
    "a row that fails": (
        lambda: iterable(grain.MapDataset.source(range(4)).map(lambda i: {"image": GREY, "n": 1 / (i - 2)})),
        "row 2 cannot be read: ZeroDivisionError: division by zero",
    ),
    "no picture under that name": (lambda: iterable(renamed("image", "imag")), "unknown key.*'image'; did you mean 'imag'.*inputs="),
    "a slip in a label": (lambda: iterable(rows(), labels={"agee": float}), "unknown label.*'agee'; did you mean 'age'"),
    "a slip in one row": (
        lambda: iterable([*rows()[:-1], {"image": GREY, "aeg": 1.0, "kind": "owl"}], labels={"age": float}),
        "row 5: there is no 'age', but 'aeg'",
    ),
    "an unknown kind": (lambda: iterable(rows(), labels={"age": "flaot"}), "unknown kind of label 'age'.*did you mean 'float'"),
    "a kind that is none": (lambda: iterable(rows(), labels={"age": 3}), "labels={'age': 3}; expected float for numbers"),
    "labels as a list": (lambda: iterable(rows(), labels=["age"]), r"labels=\['age'\]; expected a dict such as"),
    "a class without a name": (changed(kind="owll"), "row 3: unknown class of 'kind': 'owll'; did you mean 'owl'"),
    "a number for a name": (changed(kind=1), "row 3: 'kind' is 1, a int; expected one of the names finch, owl"),
    "a text for a number": (changed(age="old"), "row 3: 'age': 'old' is no number; expected a number"),
    "an infinite number": (changed(age=float("inf")), "row 3: 'age' is inf; expected a finite number"),
    "several numbers for one": (changed(age=[1.0, 2.0]), r"row 3: 'age' has shape \(2,\); expected one number"),
    "a tuple for a label": (changed(age=(1, "b")), "row 3: 'age' is a tuple of 2; expected a number"),
    "a dict for a label": (lambda: iterable(rows(age={"a": 1})[3:]), "row 0: 'age' is a dict of 1; expected a number, an array"),
    "no picture": (changed(image=None), "row 3: 'image' is missing; expected a picture: only labels may be"),
    "a number for a picture": (changed(image=7), "row 3: 'image' is the number 7; expected a picture"),
    "channels first": (changed(image=np.zeros((3, 6, 8), np.uint8)), r"row 3: 'image' has shape \(3, 6, 8\), which looks.*channels_first=True"),
    "transparent pixels": (changed(image=Image.new("RGBA", (6, 4), (1, 2, 3, 9))), "row 3: image 'image' has transparent pixels"),
    "four channels": (changed(image=np.zeros((4, 6, 4), np.uint8)), "row 3: .*4 channels; expected 1 or 3"),
    "floats of 8 bits": (changed(image=np.full((4, 6), 200.0)), r"row 3: .*expected floats in \[0, 1\], or decode=.*1 / 255"),
    "a picture of another size": (
        changed(image=np.zeros((5, 6), np.uint8)),
        r"row 3: the picture is 5 x 6 .*; that of row 0 is 4 x 6. Expected one size, or size=\(height, width\)",
    ),
    "a file that is lost": (changed(image="lost.png"), "row 3: image 'lost.png' does not decode"),
    "a label that is missing throughout": (
        lambda: iterable([{"image": GREY, "age": None}] * 4),
        "'age' is missing in all 4 rows looked at.*labels={'age': float}",
    ),
    "one class": (lambda: iterable([ROW] * 4), "'kind' has the one class owl; expected two or more"),
    "names that are no classes": (
        lambda: iterable([ROW | {"kind": f"bird {i}"} for i in range(30)]),
        "'kind' has 30 names in 30 rows, such as 'bird 0': no classes",
    ),
    "a mask of another shape": (lambda: iterable(rows(age_valid=np.ones(3, bool))), r"row 3: 'age_valid' has shape \(3,\)"),
    "a share that cannot be": (lambda: iterable(rows(), validation=1.5), "validation=1.5; expected a share between 0 and 1"),
    "splits without validation": (
        lambda: iterable({"train": rows(), "test": rows()}),
        "there is 'test', 'train', and no 'validation'",
    ),
    "a column of splits without one": (lambda: iterable(rows(part="val"), split="part"), "unknown key.*'part'"),
    "a row without a split": (
        lambda: iterable([{**row, "part": ("train", "val", None)[i % 3]} for i, row in enumerate(rows())], split="part"),
        "row 2 has no 'part'; expected the name of its split",
    ),
    "a row whose split is NaN, as pandas has it": (
        lambda: iterable(
            [{**row, "part": ("train", "val", float("nan"))[i % 3]} for i, row in enumerate(rows())], split="part"
        ),
        "row 2 has no 'part'; expected the name of its split",
    ),
    "two names of one split": (
        lambda: iterable({"train": rows(), "val": rows(), "dev": rows()}),
        "splits train, val, dev: two of them are 'validation'",
    ),
    "two validations": (lambda: iterable({"train": rows(), "val": rows()}, validation=rows()), "and validation is given; expected one"),
    "lists to keep together": (lambda: iterable(rows(), together="image"), "row 0: 'image' is a ndarray; expected a name or a number"),
    "maps of numbers among those of classes": (
        lambda: iterable([{"image": GREY, "heat": np.full((4, 6), 0.5 if i > 2 else 1, [int, float][i > 2])} for i in range(6)]),
        r"row [345]: 'heat' holds float64.* other rows' makes int32.*decode={'heat': 1.0}",
    ),
    "a size for a tree": (lambda: iterable(rows(), inputs=["age"], size=(4, 4)), r"size=\(4, 4\) is for pictures"),
    "a size that is none": (lambda: iterable(rows(), size=4), r"size=4: expected \(height, width\)"),
    "another decode": (lambda: iterable(rows(), decode={"agge": 2}), "unknown key in decode .*'agge'; did you mean 'age'"),
    "arrays of two lengths": (arrays(n=np.arange(5)), "arrays differ in length: 'image' 6, 'n' 5"),
    "one number for an array": (arrays(n=5), "'n' is a int; expected an array"),
    "vectors of NaN": (
        lambda: list(read(data.from_arrays({"image": np.full((4, 3), np.nan), "n": np.arange(4)}))),
        "row 0: 'image' holds numbers that are not finite",
    ),
    "a file that is not there": (lambda: data.from_arrays("nowhere.npz"), "'nowhere.npz' does not exist"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISUSES)
def test_what_is_wrong_with_rows_is_one_clear_message(name):
    do, message = MISUSES[name]
    with pytest.raises(UserError, match=message):
        do()


LINES = ["file,age,kind"] + [f"{i}.png,{i},{('owl', 'finch')[i % 2]}" for i in range(4)]
LABELS = {"age": float, "kind": str}
TABLES = {
    "no labels": ({"labels": None}, {}, "no labels; expected some of file, age, kind"),
    "another column": ({"labels": {"agee": float}}, {}, "unknown column of .*'agee'; did you mean 'age'"),
    "another file column": ({"file": "fiel"}, {}, "unknown column of .*'fiel'; did you mean 'file'"),
    "no file column": ({}, {0: "photo,age,kind"}, "which column has the pictures' file names.*one of photo, age, kind"),
    "a folder that is not there": ({"images": "birdz"}, {}, "unknown pictures' folder in .*'birdz'; did you mean 'birds'"),
    "a picture that is not there": ({}, {2: "l.png,1,owl"}, "line 3: the picture 'l.png' is not in .*did you mean '.*png'"),
    "no picture": ({}, {2: ",1,owl"}, "line 3: the picture '' is not in"),
    "a text for a number": ({}, {2: "1.png,one,owl"}, "line 3: 'age': 'one' is no number"),
    "a number too large": ({}, {2: "1.png,1e39,owl"}, "line 3: 'age': '1e39' is no finite number"),
    "a class that is no whole number": ({"labels": {"age": int}}, {2: "1.png,1.5,owl"}, "line 3: .*expected whole numbers"),
    "a class of no name": ({"labels": {"kind": ["owl", "wren"]}}, {}, "line 3: unknown class of 'kind': 'finch'"),
    "too few cells": ({}, {2: "1.png,1"}, "line 3: 2 cells; expected 3, as in the header"),
    "a column twice": ({}, {0: "file,age,age"}, "has the column 'age' twice"),
    "a header alone": ({}, dict.fromkeys(range(1, 5)), "has 1 lines; expected names of columns, and a line for each"),
    "a feature that is missing": ({"features": ["age"], "labels": {"kind": str}}, {2: "1.png,,owl"}, "line 3: '' is no number; expected one in each of age"),
    "two ways to split": ({"validation": "birds/labels.csv", "split": "kind"}, {}, "validation is given; expected no split"),
    "splits by a column of others": ({"split": "kind"}, {}, "in 'kind' there is 'finch', 'owl', and no 'train'"),
    "a map of another size": ({"labels": {"kind": "map"}}, {i + 1: f"{i}.png,{i},map.png" for i in range(4)}, r"line 2: the map 'kind' is 3 x 3 .*; its picture is 4 x 6"),
    "a picture of another size": ({}, {2: "map.png,1,owl"}, r"line 3: the picture '.*map.png' is 3 x 3.*line 2 is 4 x 6.*size="),
}  # fmt: skip


def table_read(given, late):
    """Reads a table, and its pictures only for what is told late."""
    made = data.from_table("birds/labels.csv", **given)
    if late:
        list(read(made))


@pytest.mark.parametrize("name", TABLES)
def test_what_is_wrong_with_a_table_is_one_clear_message(name, tmp_path, monkeypatch):
    arguments, changes, message = TABLES[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "birds").mkdir()
    for i, size in enumerate([(6, 4)] * 4):
        Image.new("RGB", size).save(tmp_path / "birds" / f"{i}.png")
    Image.new("L", (3, 3)).save(tmp_path / "birds" / "map.png")
    lines = [changes.get(i, line) for i, line in enumerate(LINES)]
    (tmp_path / "birds" / "labels.csv").write_text("\n".join(filter(None, lines)))
    given = {"images": "birds", "labels": LABELS, "seed": 2} | arguments
    with pytest.raises(UserError, match=message):
        table_read(given, late=name.endswith("of another size"))


def test_a_table_that_is_not_there_is_named_in_a_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "label.csv").write_text("file\n")
    with pytest.raises(UserError, match=r"table 'labels.csv' does not exist; did you mean 'label.csv'"):
        resolve("from_table('labels.csv', labels={'age': 'float'})", data.SOURCES, kind="data")
    with pytest.raises(UserError, match=r"unknown argument of from_table.*'lables'; did you mean 'labels'"):
        resolve("from_table('label.csv', lables={'age': 'float'})", data.SOURCES, kind="data")
