"""Objects of examples: what is not listed, hidden labels, several sets in one run, and what is wrong with an example."""

import dataclasses

import numpy as np
import pytest

from mtljax.data import augment, check, mix
from mtljax.data.hidden import Hidden
from mtljax.data.pipeline import Prepare, eval_batches
from mtljax.data.scenes.dataset import to_example
from mtljax.data.scenes.render import render_clip
from mtljax.errors import UserError


@pytest.fixture(scope="module")
def clip():
    return to_example(render_clip(16, 2, 0, "train", 0), 3)


@dataclasses.dataclass(frozen=True)
class Set:
    """A data set of one example several times."""

    example: dict
    name: str = "set"
    meanings: dict = dataclasses.field(default_factory=lambda: {"category": ("background", "a", "b", "c", "d")})

    def split(self, name):
        return [self.example] * 3


def few(clip, objects=4, drop=("segmentations",)):
    """The clip with less: of as many objects, and without some keys."""
    made = {key: value for key, value in clip.items() if key not in drop}
    made["instances"] = {key: value[:objects] for key, value in clip["instances"].items() if key != "scale"}
    made["instances"]["ignored"] = np.zeros((objects, 2), bool)
    return made | {key: clip[key][:objects] for key in ("instances_valid", "future", "future_valid")}


def test_a_task_that_reads_objects_is_told_whether_they_are_listed(clip):
    kept = Prepare(["instances"])(clip)
    assert kept.keys() == {"image", "camera", "instances", "instances_valid", "objects_valid"}
    assert "objects_valid" not in Prepare(["depth"])(clip)


def test_hidden_objects_are_not_listed(clip):
    source = Hidden([clip] * 40, share=0.5, seed=0)
    counts = {False: 0, True: 0}
    for i in range(40):
        example = source[i]
        there = bool(example["instances_valid"].any())
        assert example["objects_valid"].all() == example["objects_valid"].any() == there
        assert example["segmentations"].any() == there
        assert example["sequence_valid"]
        counts[there] += 1
    assert min(counts.values()) > 8
    assert clip["segmentations"].any()


def test_what_fills_up_a_batch_lists_nothing(clip):
    batch = next(iter(eval_batches([clip], 2)))
    assert batch["objects_valid"].tolist() == [[True] * 2, [False] * 2]
    assert not batch["instances_valid"][1].any()


def test_sets_of_other_numbers_of_objects_and_of_none_make_one_form(clip):
    bare = {key: clip[key] for key in ("image", "depth", "depth_valid")}
    source = mix({"scenes": Set(clip), "few": Set(few(clip)), "bare": Set(bare)}).split("train")
    whole, part, none = source[0], source[3], source[6]
    for example in (whole, part, none):
        check([example])
    assert whole["instances"].keys() == part["instances"].keys() == none["instances"].keys()
    np.testing.assert_equal({k: whole["instances"][k] for k in clip["instances"]}, clip["instances"])
    assert not whole["instances"]["ignored"].any()
    np.testing.assert_array_equal(part["instances"]["bboxes"][:4], clip["instances"]["bboxes"][:4])
    assert part["instances_valid"].sum() == clip["instances_valid"][:4].sum()
    assert part["future"].shape == (10, 8, 2)
    assert part["objects_valid"].all()
    assert not none["objects_valid"].any()
    assert not none["instances_valid"].any()
    assert [int(one["sequence"]) for one in (whole, part)] == [3, 7]
    # Boxes stay where there is no map.
    cropped = augment.crop(16, 16)(part, np.random.default_rng(0))
    np.testing.assert_array_equal(cropped["instances"]["bboxes"], part["instances"]["bboxes"])


def test_classes_of_objects_mean_one_thing_or_are_mapped(clip):
    other = Set(few(clip), meanings={"category": ("background", "c", "a", "e", "b")})
    sets = {"one": Set(clip), "two": other}
    mix(sets).of_labels(["depth"]).split("train")
    with pytest.raises(UserError, match=r"'category' of 'one' is of 5 classes.*that of 'two'"):
        mix(sets).of_labels(["instances"]).split("train")
    source = mix(sets, classes={"category": {"a": [], "b": ["e"], "c": [], None: ["d"]}}).split("train")
    names = {0: "none", 1: "a", 2: "b", 3: "c"}
    seen = set()
    for example, own, said in ((source[0], clip, Set(clip).meanings), (source[3], few(clip), other.meanings)):
        for i in np.flatnonzero(example["instances_valid"]):
            before = said["category"][own["instances"]["category"][i]]
            assert example["instances"]["ignored"][i].all() == (before == "d")
            if before != "d":
                assert names[int(example["instances"]["category"][i])] == {"e": "b"}.get(before, before)
            seen.add(before)
        check([example])
    assert len(seen) > 3


def harmed(clip, **entries):
    return clip | {"instances": clip["instances"] | {k: change(clip["instances"][k]) for k, change in entries.items()}}


def put(value, *place):
    def change(array):
        changed = array.copy()
        changed[place] = value
        return changed

    return change


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda c: harmed(c, bboxes=put([0.5, 0, 0.2, 1], 0, 1)), r"instances: bboxes: object 0, frame 1 is \[0.5, .*shares"),
        (lambda c: harmed(c, bboxes=put([0, 0, 16, 16], 0, 1)), r"frame 1 is \[0.0, 0.0, 16.0, 16.0\]; expected \[ymin"),
        (lambda c: harmed(c, bboxes=put(0, 0)), r"frame 0 is \[0.0, 0.0, 0.0, 0.0\]; expected a box, where visib"),
        (lambda c: harmed(c, bboxes=lambda x: x[:, 0]), r"bboxes: shape \(10, 4\); expected \(M, s, 4\) = \(M, 2, 4\)"),
        (lambda c: harmed(c, category=lambda x: 0 * x), r"category: object 0 has 0; expected classes from 1"),
        (lambda c: harmed(c, scale=put(0, 1, 1)), r"scale: object 1 has .*half sizes above 0"),
        (lambda c: harmed(c, quaternions=lambda x: 2 * x), r"quaternions: object 0, frame 0 is of another length"),
        (lambda c: harmed(c, visibility=put(200, 0, 0)), r"object 0, frame 0 has \d+ pixels; visibility says 200"),
        (lambda c: harmed(c, visibility=lambda x: x[:9]), r"has bboxes of 10, .*visibility of 9.* expected one number"),
        (lambda c: {k: v for k, v in c.items() if k != "objects_valid"}, r"has no objects_valid; expected \(s,\) bool"),
        (lambda c: c | {"objects_valid": np.ones((2, 1), bool)}, r"objects_valid: shape \(2, 1\); expected \(s,\) = \(2,\)"),
        (lambda c: c | {"instances": {"category": c["instances"]["category"]}}, r"bboxes: is not there"),
        (lambda c: c | {"instances": 3}, r"instances: int; expected a dict"),
        (lambda c: c | {"segmentations": c["segmentations"] + np.uint8(9)}, r"holds \d+; expected 0 to 10, places in"),
        (lambda c: c | {"sequence": np.zeros(2, np.int32)}, r"sequence: shape \(2,\); expected \(\)"),
        (lambda c: c | {"future": c["future"][:4]}, r"future of 4 objects"),
    ],
)  # fmt: skip
def test_faults_of_objects_are_named(clip, harm, message):
    check([clip])
    with pytest.raises(UserError, match=message):
        check([harm(clip)])


def test_examples_of_other_numbers_of_objects_make_no_batch(clip):
    with pytest.raises(
        UserError, match=r"(?s)example 1:\n.*instances/bboxes: shape \(4, 2, 4\); example 0 has \(10, 2, 4\)"
    ):
        check([clip, few(clip)])
