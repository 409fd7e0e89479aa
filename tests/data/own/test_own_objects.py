"""Boxes, maps, tracks and points of one's own."""

import numpy as np
import pytest

from mtljax.data import augment, check, from_arrays, from_iterable, instances
from mtljax.data.kinds import kinds_of
from mtljax.errors import UserError

H, W = 8, 16
BOX = [[0.25, 0.25, 0.5, 0.5]]
TWO = [[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1.25]]


def rows(*told, **more):
    return [{"image": np.full((H, W, 3), i, np.uint8), "instances": one, **more} for i, one in enumerate(told)]


def examples(data):
    found = [one for split in ("train", "validation") for one in data.split(split)]
    return sorted(found, key=lambda one: one["image"].max())


def test_rows_list_as_many_objects_as_they_have():
    told = [{"bboxes": BOX, "category": [2]}, {"bboxes": TWO, "category": [1, 2]}, None, {"bboxes": [], "category": []}]
    data = from_iterable(rows(*told), objects=3)
    check(data)
    one, two, unknown, empty = examples(data)
    assert one["instances_valid"].tolist() == [True, False, False]
    assert one["instances"]["visibility"][:, 0].tolist() == [8, 0, 0]
    assert two["instances"]["bboxes"][1, 0].tolist() == [0.5, 0.5, 1, 1]
    assert two["instances"]["category"].tolist() == [1, 2, 0]
    assert [bool(x["objects_valid"].all()) for x in (one, two, unknown, empty)] == [True, True, False, True]
    assert not unknown["instances_valid"].any()
    assert not empty["instances_valid"].any()


def test_a_map_tells_boxes_also_at_another_size():
    ids = np.zeros((H, W), np.uint8)
    ids[2:4, 4:8], ids[4:, 8:] = 1, 2
    data = from_iterable(rows(*[{"category": [1, 1]}] * 4, segmentations=ids), size=(16, 16))
    check(data)
    example = data.split("train")[0]
    assert example["segmentations"].shape == (1, 16, 16, 1)
    np.testing.assert_allclose(example["instances"]["bboxes"][:2, 0], [[0.25, 0.25, 0.5, 0.5], [0.5, 0.5, 1, 1]])
    assert example["instances"]["visibility"][:2, 0].tolist() == [16, 64]


def test_arrays_are_of_tracks():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 0.5, (5, 3, 2, 2))
    objects = {
        "bboxes": np.concatenate([low, low + 0.25], axis=-1),
        "category": np.ones((5, 3), int),
        "id": np.arange(15).reshape(5, 3),
        "positions": rng.normal(size=(5, 3, 2, 3)),
        "quaternions": np.tile([1.0, 0, 0, 0], (5, 3, 2, 1)),
    }
    valid = np.arange(3) < np.array([1, 2, 3, 3, 0])[:, None]
    camera = {"positions": np.zeros((5, 2, 3)), "quaternions": np.tile([1.0, 0, 0, 0], (5, 2, 1))}
    arrays = {"image": np.zeros((5, 2, H, W, 3), np.uint8), "instances": objects, "instances_valid": valid}
    data = from_arrays(arrays | {"camera": camera, "kind": np.arange(5) % 2}, objects=4)
    check(data)
    found = [one for split in ("train", "validation") for one in data.split(split)]
    assert sorted(int(one["instances_valid"].sum()) for one in found) == [0, 1, 2, 3, 3]
    assert found[0]["instances"]["positions"].shape == (4, 2, 3)
    assert found[0]["camera"]["positions"].dtype == np.float32
    assert found[0]["kind_valid"]


def test_points_and_boxes_that_are_no_objects_move_with_the_picture():
    made = [
        {"image": np.zeros((H, W, 3), np.uint8), "face": BOX, "eyes": [[4.0, 2.0], [np.nan, 1.0], [3.0, 3.0]]}
    ] * 4  # fmt: skip
    data = from_iterable(made, labels={"face": "boxes", "eyes": "points"}, size=(H, 2 * W))
    check(data)
    example = data.split("train")[0]
    assert example["eyes"].tolist() == [[[8, 2], [0, 0], [6, 3]]]
    assert example["eyes_valid"][0, :, 0].tolist() == [True, False, True]
    mirrored = augment.flip(p=1.0)(example, np.random.default_rng(0), kinds_of(data))
    assert mirrored["eyes"].tolist() == [[[24, 2], [0, 0], [26, 3]]]
    assert mirrored["face"].tolist() == [[[0.25, 0.5, 0.5, 0.75]]]


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"bboxes": [[0, 0, 8, 8]]}, r"row \d: 'instances': bboxes hold 0 .. 8, which looks like pixels"),
        ({"bboxes": [[0.5, 0, 0.2, 1]]}, r"the box of object 0, frame 0, is \[0.5, 0.0, 0.2, 1.0\]; expected \[ymin"),
        ({"bboxes": TWO, "category": [1]}, r"{'category': 1} differ from the number of objects, 2"),
        ({"bboxes": [BOX[0]] * 5}, r"5 objects; expected at most 4: objects=5 takes them"),
        ({"category": [1]}, r"there are no bboxes and no segmentations"),
        ({"bboxes": [[0, 0, np.nan, 1]]}, r"bboxes hold numbers that are not finite"),
        ({"bboxes": BOX, "id": [2**31]}, r"id holds 2147483648 .. 2147483648; expected whole numbers of 32 bits"),
        (
            {"bboxes": BOX, "category": [1e12]},
            r"category holds 1000000000000.0 .. .*; expected whole numbers of 32 bits",
        ),
        ([BOX], r"'instances' is a list; expected a dict"),
    ],
)
def test_faults_are_named(told, message):
    with pytest.raises(UserError, match=message):
        examples(from_iterable(rows(told, told), objects=4))


def test_mistakes_in_arguments_are_named():
    objects = {"bboxes": np.zeros((3, 1, 4)), "category": np.ones((2, 1), int)}
    with pytest.raises(UserError, match=r"'instances' has {'bboxes': 3, 'category': 2}; expected one entry an example"):
        from_arrays({"image": np.zeros((3, H, W, 3), np.uint8), "instances": objects})
    with pytest.raises(UserError, match=r"'instances' is missing in all rows looked at"):
        from_iterable(rows(None, None))
    with pytest.raises(UserError, match=r"from_iterable\(objects=0\): expected a whole number from 1"):
        from_iterable(rows({"bboxes": BOX}, {"bboxes": BOX}), objects=0)
    with pytest.raises(UserError, match=r"'instances' are of pictures"):
        from_iterable([{"image": np.zeros(4), "instances": {"bboxes": BOX}}] * 2)
    with pytest.raises(UserError, match=r"segmentations hold 3; expected 0 to 1, for 1 objects"):
        instances((1, 2, 2), BOX, segmentations=np.full((2, 2), 3))
    with pytest.raises(UserError, match=r"kind of label 'face' of .*'box'; did you mean 'boxes'"):
        from_iterable([{"image": np.zeros((H, W, 3), np.uint8), "face": BOX}] * 2, labels={"face": "box"})
    with pytest.raises(UserError, match=r"'face' has shape \(1, 4\); expected \(K, 2\)"):
        from_iterable([{"image": np.zeros((H, W, 3), np.uint8), "face": BOX}] * 2, labels={"face": "points"})
