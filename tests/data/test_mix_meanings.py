"""One name has one meaning in a mix: labels that do not are refused, renamed, or mapped by the names of classes."""

import dataclasses

import numpy as np
import pytest

from mtljax import data
from mtljax.data import camvid, cityscapes, mix
from mtljax.data.meanings import BORDERS, DISCONTINUITIES, meanings
from mtljax.data.resize import resized
from mtljax.data.sources.camvid import CLASSES
from mtljax.data.sources.cityscapes import CLASSES as CITY
from mtljax.errors import UserError
from tests.data.sources import test_cityscapes
from tests.data.sources.streets import classes, write_streets

SIZE = (12, 16)
COMMON = {
    "road": (),
    "sidewalk": ("pavement",),
    "person": ("pedestrian",),
    "car": ["truck", "bus"],
    "rest": ["building", "pole", "fence", "wall", "traffic light", "traffic sign", "sign", "vegetation", "tree", "terrain"],
    None: ["sky", "rider", "train", "motorcycle", "bicycle", "bicyclist"],
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Made:
    """Examples with labels of one value each."""

    labels: dict
    meanings: dict = dataclasses.field(default_factory=dict)
    name: str = "made"

    def split(self, name):
        return self

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if not 0 <= index < 3:
            raise IndexError(index)
        example = {"image": np.zeros((1, 2, 2, 3), np.uint8)}
        for key, value in self.labels.items():
            example |= {key: np.full((1, 2, 2, 1), value, np.int32), f"{key}_valid": np.ones((1, 2, 2, 1), bool)}
        return example


@dataclasses.dataclass(frozen=True)
class Other(Made):
    """Another reader."""


A = Made({"semantic": 1}, {"semantic": ("sky", "road")})
B = Made({"semantic": 0}, {"semantic": ("road", "wall", "tree")})


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    for split in ("train", "val"):
        test_cityscapes.write_image(root / "city", split, "ulm", 0, parts=["gtFine"])
    return {"one": camvid(str(write_streets(root / "streets"))), "two": cityscapes(str(root / "city"))}


def test_class_lists_that_differ_are_refused(streets):
    with pytest.raises(
        UserError,
        match=r"'semantic' of 'one' is of 11 classes, 0 sky, 1 building, .*'two' is of 19 classes, 0 road.*rename=.*classes=",
    ):
        mix(streets, size=SIZE).split("train")


def test_classes_are_mapped_by_their_names(streets):
    source = mix(streets, size=SIZE, classes={"semantic": COMMON}).split("train")
    street, city = source[2], source[len(source) - 1]
    names = [name for name in COMMON if name]

    def wanted(name):
        return next((names.index(key) if key else -1 for key in COMMON if name == key or name in COMMON[key]), None)

    table = np.array([wanted(name) for name in CLASSES] + [-1])
    truth = table[classes(2)]
    assert set(table) == {0, 1, 2, 3, 4, -1}
    np.testing.assert_array_equal(street["semantic_valid"][0, ..., 0], truth >= 0)
    np.testing.assert_array_equal(street["semantic"][0, ..., 0], np.maximum(truth, 0))
    alone = resized(streets["two"].split("train")[0], SIZE)
    truth = np.array([wanted(name) for name in CITY])[alone["semantic"]]
    np.testing.assert_array_equal(city["semantic_valid"], alone["semantic_valid"] & (truth >= 0))
    np.testing.assert_array_equal(city["semantic"], np.where(city["semantic_valid"], truth, 0))
    assert len(np.unique(truth)) > 3
    assert street["semantic"].dtype == np.int32
    assert street["edge_valid"].any()


def test_a_renamed_label_keeps_its_values_beside_the_other(streets):
    source = mix(streets, size=SIZE, rename={"two": {"semantic": "city_class"}}).split("validation")
    street, city = source[0], source[len(source) - 1]
    assert street["semantic_valid"].any()
    assert not street["city_class_valid"].any()
    assert city["city_class_valid"].any()
    assert not city["semantic_valid"].any()
    assert city["city_class"].max() == 18


@pytest.mark.parametrize(
    "sets",
    [
        {"a": A, "b": Made({"semantic": 0}, {"semantic": ("sky", "road")})},
        {"a": Made({"semantic": 0}), "b": Made({"semantic": 1})},
        {"a": Made({"depth": 0}), "b": Other({"depth": 1})},
        {"a": A, "b": Other({"classes": 1}, {"classes": ("x", "y")})},
        {"a": Made({"depth": 0}, {"depth": "disparity"}), "b": Other({"depth": 1}, {"depth": "disparity"})},
    ],
)
def test_sets_that_mean_one_thing_are_mixed(sets):
    assert len(mix(sets).split("train")) == 6


@pytest.mark.parametrize(
    ("one", "two", "message"),
    [
        (A, B, "'semantic' of 'a' is of 2 classes, 0 sky, 1 road; that of 'b' is of 3 classes, 0 road, 1 wall, 2 tree"),
        (A, Made({"semantic": 0}), "'b' is not said"),
        (Made({"kind": 0}), Other({"kind": 0}), "'kind' of 'a' is not said .*that of 'b' is not said"),
        (
            Made({"edge": 0}, {"edge": BORDERS}),
            Made({"edge": 0}, {"edge": DISCONTINUITIES}),
            f"'edge' of 'a' is {BORDERS}; that of 'b' is {DISCONTINUITIES}",
        ),
    ],
)
def test_sets_that_do_not_are_refused_until_both_are_renamed(one, two, message):
    sets = {"a": one, "b": two}
    with pytest.raises(UserError, match=message):
        mix(sets).split("train")
    [label] = one.labels
    with pytest.raises(UserError, match=r"'joint' of 'a'.* that of 'b'"):
        mix(
            {"a": one, "b": dataclasses.replace(two, labels={"joint": 0}, meanings={})}, rename={"a": {label: "joint"}}
        ).split("train")
    declared = mix(sets, rename={key: {label: "joint"} for key in sets}).split("train")
    assert all(example["joint_valid"].all() for example in (declared[i] for i in range(6)))


def test_what_is_no_depth_in_metres_is_not_mixed_with_one():
    """A name that has a meaning and a unit in all sets was taken for that, whatever a set says of it."""
    disparity = data.cityscapes_arrays("x").meanings["depth"]
    sets = {"a": Made({"depth": 0}), "b": Other({"depth": 1}, {"depth": disparity})}
    with pytest.raises(UserError, match=r"'depth' of 'b' is disparity over .*, and not that of the other sets"):
        mix(sets).split("train")
    assert len(mix(sets).of_labels(["semantic"]).split("train")) == 6


def test_what_data_sets_say():
    texts = (
        "camvid('x')",
        "rgbd('x')",
        "scenes('tiny')",
        "movi('movi_a/128x128')",
        "cityscapes('x')",
        "cityscapes('x', classes=7)",
        "nyuv2('x')",
        "taskonomy('x')",
        "adult('x')",
        "multi_mnist('x')",
    )
    from mtljax.train.config.callstring import resolve

    said = {text: meanings(resolve(text, data.SOURCES, kind="data")) for text in texts}
    assert all(said.values())
    edges = {text: meaning["edge"] for text, meaning in said.items() if "edge" in meaning}
    assert edges["camvid('x')"] == BORDERS
    assert edges["rgbd('x')"] == edges["scenes('tiny')"] == edges["movi('movi_a/128x128')"] == DISCONTINUITIES
    assert len({*edges.values()}) == 3
    assert [len(said[f"cityscapes('x'{more})"]["semantic"]) for more in ("", ", classes=7")] == [19, 7]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rename": {"c": {"semantic": "x"}}}, "unknown set in the rename of mix: 'c'.*Known: a, b"),
        ({"rename": {"a": "x"}}, "expected names by set"),
        ({"rename": {"a": {"semantic": "image"}}}, "expected the name of a label"),
        ({"rename": {"a": {"semantic": 3}}}, "expected the name of a label"),
        (
            {"rename": {"a": {"semantik": "x"}}},
            "unknown label of 'a' in the rename of .*'semantik'; did you mean 'semantic'",
        ),
        ({"rename": {"a": {"normal": "direction"}}}, "'normal' is known by its name"),
        ({"classes": {"semantic": "road"}}, "expected names, or names with lists"),
        ({"classes": {"semantic": {None: ["road"]}}}, "expected names, or names with lists"),
        ({"classes": {"semantic": {"road": "sky"}}}, "expected names, or names with lists"),
        ({"classes": {"semantic": {"road": ["sky"], "wall": ["sky"]}}}, "sky stands for two classes"),
        ({"classes": ["road"]}, "expected classes by label"),
        ({"classes": {"category": ["car", "background"]}}, "'background' is class 0 of objects.*expected it first"),
        ({"classes": {"category": {"car": [], None: ["background"]}}}, "'background' is class 0 of objects"),
        ({"classes": {"semantics": ["road"]}}, "unknown label in the classes of .*; did you mean 'semantic'"),
        ({"classes": {"semantic": ["road", "sky"]}}, "'b': wall, tree of 'semantic' in no class"),
    ],
)
def test_mistakes_in_arguments_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        mix({"a": A, "b": B}, **arguments).split("train")


def test_a_set_that_names_no_classes_cannot_be_mapped():
    with pytest.raises(UserError, match=r"'b' does not name the classes of 'semantic'.*`meanings` ="):
        mix({"a": A, "b": Made({"semantic": 0})}, classes={"semantic": ["sky", "road"]}).split("train")
    with pytest.raises(UserError, match="'a' has the class 5 of 'semantic'; it names 2"):
        mix({"a": dataclasses.replace(A, labels={"semantic": 5})}, classes={"semantic": ["sky", "road"]}).split("train")


def test_labels_that_nobody_reads_may_mean_what_they_will():
    mixed = mix({"a": A, "b": B})
    with pytest.raises(UserError, match=r"'semantic' of 'a' is of 2 classes"):
        mixed.split("train")
    with pytest.raises(UserError, match=r"'semantic' of 'a' is of 2 classes"):
        mixed.of_labels(["depth", "semantic"]).split("train")
    assert len(mixed.of_labels(["depth"]).split("train")) == 6
