"""Several data sets in one run: shares, one form, what is absent, and what is said of sets that do not fit."""

import collections
import dataclasses

import numpy as np
import pytest

from mtljax import data
from mtljax.data import camvid, mix, pipeline, rgbd
from mtljax.data.resize import resized
from mtljax.errors import UserError
from mtljax.train.config.callstring import resolve
from tests.data.sources.streets import write_streets
from tests.frames import H, W

SIZE = (8, 12)
ONE_EDGE = {"street": {"edge": "edge"}, "kitchen": {"edge": "edge"}}  # borders of classes and of depth are one


@dataclasses.dataclass(frozen=True)
class Numbers:
    """A data set of examples that know their index."""

    size: int
    label: str = "depth"
    frames: int = 1
    shape: tuple = (2, 2, 3)
    channels: int = 1
    unreadable: int = 0
    name: str = "numbers"

    def split(self, name):
        return self

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        if int(index) < self.unreadable:
            raise UserError(f"record {index} does not decode.")
        label = np.full((self.frames, *self.shape[:2], self.channels), index, np.float32)
        return {
            "image": np.zeros((self.frames, *self.shape), np.uint8),
            self.label: label,
            f"{self.label}_valid": np.ones((*label.shape[:-1], 1), bool),
        }


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    return camvid(str(write_streets(tmp_path_factory.mktemp("made") / "streets")), frames=2)


@pytest.fixture(scope="module")
def kitchen(ten_frames):
    return rgbd(str(ten_frames), frames=2, stride=1)


@pytest.fixture(scope="module")
def mixed(street, kitchen):
    return mix({"street": street, "kitchen": kitchen}, ratio={"street": 1, "kitchen": 2}, size=SIZE, rename=ONE_EDGE)


def seen(source):
    """How often each example is in an epoch, by set."""
    times = collections.Counter()
    for example in (source[i] for i in range(len(source))):
        [key] = [k for k in ("depth", "height") if example[f"{k}_valid"].any()]
        times[key, int(example[key][0, 0, 0, 0])] += 1
    return {
        key: [times[key, i] for i in range(max(j for k, j in times if k == key) + 1)] for key in ("depth", "height")
    }


@pytest.mark.parametrize(
    ("sizes", "arguments", "counts"),
    [
        ((10, 4), {"ratio": {"a": 1, "b": 1}}, (10, 10)),
        ((10, 4), {"ratio": {"a": 1, "b": 3}}, (10, 30)),
        ((10, 4), {"ratio": {"a": 5, "b": 1}}, (20, 4)),
        ((10, 4), {}, (10, 4)),
        ((10, 4), {"temperature": 1}, (10, 4)),
        ((16, 4), {"temperature": 2}, (16, 8)),
        ((16, 4), {"temperature": 1e9}, (16, 16)),
        ((16, 4), {"temperature": 0.5}, (64, 4)),
    ],
)
def test_shares_are_as_asked_and_no_example_is_left_out(sizes, arguments, counts):
    source = mix({"a": Numbers(sizes[0]), "b": Numbers(sizes[1], "height")}, **arguments).split("train")
    times = seen(source)
    assert (sum(times["depth"]), sum(times["height"])) == counts
    for key, size in zip(("depth", "height"), sizes, strict=True):
        assert len(times[key]) == size
        assert min(times[key]) >= 1
        assert max(times[key]) <= min(times[key]) + 1


def test_indices_of_one_example_have_one_original():
    source = mix({"a": Numbers(10), "b": Numbers(4, "height")}, ratio={"a": 3, "b": 4}).split("train")
    groups = collections.defaultdict(set)
    for index in range(len(source)):
        original = source.original(index)
        assert original <= index
        np.testing.assert_equal(source[original], source[index])
        groups[original].add(index)
    assert len(groups) == 14
    assert all(source.original(original) == original for original in groups)


def test_validation_is_all_of_each_set_one_after_the_other(mixed, street, kitchen):
    source = mixed.split("validation")
    assert len(source) == len(street.split("validation")) + len(kitchen.split("validation"))
    for index, example in enumerate([*street.split("validation"), *kitchen.split("validation")]):
        np.testing.assert_array_equal(source[index]["image"], resized(example, SIZE)["image"])


def test_labels_of_a_set_are_those_of_its_own_at_the_common_size(mixed, street, kitchen):
    source = mixed.split("validation")
    for index, alone in enumerate([street.split("validation")[0], kitchen.split("validation")[0]]):
        found, alone = source[index], resized(alone, SIZE)
        for key, value in alone.items():
            if key != "frame_index":
                np.testing.assert_equal(found[key], value)


def test_what_a_set_lacks_is_zero_and_not_valid(mixed):
    source = mixed.split("train")
    street, kitchen = source[0], source[len(source) - 1]
    assert street.keys() == kitchen.keys()
    for key, value in street.items():
        if key != "camera":
            assert (value.shape, value.dtype) == (kitchen[key].shape, kitchen[key].dtype), key
    for key in ("depth", "normal", "forward_flow", "backward_flow", "moving", "ego_motion", "frame_index"):
        assert not street[f"{key}_valid"].any()
        assert not street[key].any()
        assert kitchen[f"{key}_valid"].any()
    assert street["semantic_valid"].any()
    assert not kitchen["semantic_valid"].any()
    assert street["edge_valid"].any()
    assert kitchen["edge_valid"].any()
    camera = street["camera"]
    np.testing.assert_array_equal(camera["quaternions"], [[1, 0, 0, 0]] * 2)
    np.testing.assert_array_equal(camera["intrinsics"], [[12, 0, 6], [0, 12, 4], [0, 0, 1]])
    assert not camera["positions"].any()
    np.testing.assert_allclose(kitchen["camera"]["intrinsics"][:, 2], [16 * 12 / W, 12 * 8 / H, 1])


def test_places_of_two_sets_do_not_meet(kitchen):
    source = mix({"a": kitchen, "b": kitchen}).split("train")
    places = [source[i]["frame_index"].tolist() for i in range(len(source))]
    half = len(source) // 2
    assert places[:half] == [[i, i + 1] for i in range(half)]
    assert np.diff(places[half:], axis=0).tolist() == [[1, 1]] * (half - 1)
    assert places[half][0] > places[half - 1][1] + 1
    assert source[0]["frame_index"].dtype == np.int32


def test_batches_hold_both_sets_in_their_ratio(street, kitchen):
    source = mix(
        {"street": street, "kitchen": kitchen}, ratio={"street": 2, "kitchen": 1}, size=SIZE, rename=ONE_EDGE
    ).split("train")
    assert (len(source), len(kitchen.split("train"))) == (21, 7)
    batches = pipeline.train_batches(source, 3, seed=0, keep=("semantic", "depth"))
    epoch = [next(batches) for _ in range(7)]
    of_street = np.concatenate([batch["semantic_valid"].any(axis=(1, 2, 3, 4)) for batch in epoch])
    of_kitchen = np.concatenate([batch["depth_valid"].any(axis=(1, 2, 3, 4)) for batch in epoch])
    np.testing.assert_array_equal(of_street, ~of_kitchen)
    assert of_street.sum() == 14
    assert 0 < of_street[:9].sum() < 9


def test_real_streets_and_a_real_kitchen_in_one_run(shared):
    folders = [shared / "data" / name for name in ("camvid", "kitchen")]
    if not all(folder.is_dir() for folder in folders):
        pytest.skip("needs shared/data/camvid and shared/data/kitchen")
    text = (
        f"mix({{'street': camvid({str(folders[0])!r}, frames=2), 'kitchen': rgbd({str(folders[1])!r}, frames=2, "
        "stride=1)}, ratio={'street': 1, 'kitchen': 3}, size=(96, 128), rename={'street': {'edge': 'edge'}, 'kitchen': {'edge': 'edge'}})"
    )
    source = resolve(text, data.SOURCES, kind="data").split("train")
    assert len(source) == 639 + 213
    batches = pipeline.train_batches(source, 4, seed=0, keep=("semantic", "depth", "ego_motion", "edge"))
    street = []
    for _ in range(12):
        batch = next(batches)
        assert batch["image"].shape == (4, 2, 96, 128, 3)
        has = {k: batch[f"{k}_valid"].reshape(4, -1).any(axis=1) for k in ("semantic", "depth", "ego_motion", "edge")}
        np.testing.assert_array_equal(has["depth"], ~has["semantic"])
        np.testing.assert_array_equal(has["ego_motion"], has["depth"])
        assert has["edge"].all()
        street += has["semantic"].tolist()
    assert 4 <= sum(street) <= 20  # of 48; 12 on average


def test_records_that_cannot_be_read_do_not_hide_the_form_of_a_set():
    source = mix({"a": Numbers(9, unreadable=3), "b": Numbers(4, "height")}).split("train")
    assert source[12]["depth"].shape == (1, 2, 2, 1)
    with pytest.raises(UserError, match="record 1 does not decode"):
        source[1]
    with pytest.raises(UserError, match="record 7 does not decode"):
        mix({"a": Numbers(9, unreadable=9)}).split("train")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ratio": {"a": 1, "c": 1}}, r"unknown set in the ratio of mix: 'c'.*Known: a, b"),
        ({"ratio": {"a": 1}}, r"expected a number for b too"),
        ({"ratio": {"a": 1, "b": 0}}, r"'b': 0.*expected a number above 0"),
        ({"ratio": {"a": 1, "b": -1.5}}, r"'b': -1.5.*expected a number above 0"),
        ({"ratio": {"a": 1, "b": "many"}}, r"'b': 'many'.*expected a number above 0"),
        ({"ratio": [1, 2]}, r"ratio=\[1, 2\].*a number for each of a, b"),
        ({"temperature": 0}, r"temperature=0.*above 0"),
        ({"temperature": -2}, r"temperature=-2.*above 0"),
        ({"temperature": float("nan")}, r"temperature=nan.*above 0"),
        ({"temperature": 2, "ratio": {"a": 1, "b": 1}}, r"not both"),
        ({"size": (0, 4)}, r"expected \(height, width\)"),
        ({"sets": {}}, r"expected data sets by name"),
        ({"sets": {"a": "camvid('x')"}}, r"expected a name and a data set, such as camvid"),
        ({"sets": {"a": mix({"b": Numbers(3)})}}, r"a mix in a mix"),
    ],
)
def test_mistakes_in_arguments_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        mix(**({"sets": {"a": Numbers(10), "b": Numbers(4)}} | arguments))


@pytest.mark.parametrize(
    ("other", "arguments", "message"),
    [
        (Numbers(4, frames=2), {}, r"'a' and 'b' differ in the length of clips: 1 and 2 frames"),
        (Numbers(4, shape=(4, 2, 3)), {}, r"differ in size: 2 x 2 and 4 x 2 \(height x width\); give size="),
        (Numbers(4, shape=(2, 2, 1)), {}, r"differ in channels of their images: 3 and 1"),
        (Numbers(4, channels=2), {}, r"'b' has 'depth' of shape \(1, 2, 2, 2\); in the sets before .*\(1, 2, 2, 1\)"),
        (Numbers(0), {}, r"'b' has no examples in its split 'train'"),
        (Numbers(4), {"ratio": {"a": 1, "b": 1e12}}, r"an epoch .* expected shares that are closer to the sizes"),
        (Numbers(4), {"temperature": 1e-5}, r"an epoch .* expected shares that are closer to the sizes"),
    ],
)
def test_sets_that_do_not_fit_together_are_named(other, arguments, message):
    with pytest.raises(UserError, match=message):
        mix({"a": Numbers(10), "b": other}, **arguments).split("train")


def test_an_unknown_split_is_named():
    with pytest.raises(UserError, match=r"split of mix\(a\): 'test'"):
        mix({"a": Numbers(3)}).split("test")
