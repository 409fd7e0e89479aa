"""What predictions mean, on small ones of which it is known."""

import dataclasses

import numpy as np
import pytest

import mtljax as mtl
from mtljax.errors import UserError
from mtljax.serving.answers import Question, answer, question


def test_a_class_is_named_with_how_likely_it_is():
    asked = Question(mtl.tasks.classify(3, label="kind"), ("finch", "owl", "wren"))
    arrays, told = answer(asked, np.log([0.2, 0.7, 0.1]))
    assert (told["class"], told["number"]) == ("owl", 1)
    assert list(told["likeliest"]) == ["owl", "finch", "wren"]
    np.testing.assert_allclose(arrays["probabilities"], [0.2, 0.7, 0.1], rtol=1e-5)


def test_what_is_no_number_is_told_and_never_a_class():
    asked = Question(mtl.tasks.classify(2, label="kind"))
    assert answer(asked, np.array([np.nan, 1.0]))[1] == {"class": None, "not_finite": 1}
    assert answer(Question(mtl.tasks.regress(label="age")), np.array([np.inf]))[1] == {
        "numbers": [None],
        "not_finite": 1,
    }
    maps = np.ones((2, 2, 1), np.float32)
    maps[0, 0] = np.nan
    told = answer(Question(mtl.tasks.depth()), maps)[1]
    assert told["median"] is None
    assert told["not_finite"] == 1


def test_shares_are_of_pixels_whose_numbers_are_finite():
    logits = np.zeros((2, 2, 2), np.float32)
    logits[0, :, 1] = 1
    logits[1, 0] = np.nan
    told = answer(Question(mtl.tasks.segment(2), ("sky", "road")), logits)[1]
    assert told == {"shares": {"road": 0.666667, "sky": 0.333333}, "not_finite": 2}
    assert answer(Question(mtl.tasks.segment(2)), np.full((2, 2, 2), np.nan))[1]["shares"] == {}
    edges = np.float32([[[3], [-3]], [[np.nan], [3]]])
    assert answer(Question(mtl.tasks.edges()), edges)[1]["share_above_half"] == 0.666667
    assert answer(Question(mtl.tasks.edges()), edges[1:, :1])[1]["share_above_half"] is None


def test_a_point_on_a_heat_map_that_is_not_finite_is_nowhere():
    heat = np.zeros((4, 4, 2), np.float32)
    heat[1, 2], heat[3, 3, 1] = 9, np.nan
    nose, chin = answer(Question(mtl.tasks.keypoints(2), ("nose", "chin")), heat)[1]["points"]
    assert (nose["x"], nose["y"]) == (2.5, 1.5)
    assert chin == {"name": "chin", "x": None, "y": None, "probability": None}


def test_tags_are_those_of_half_or_more():
    told = answer(Question(mtl.tasks.tags(3, label="t"), ("red", "round", "new")), np.array([2.0, -2.0, 0.0]))[1]
    assert told["tags"] == ["red", "new"]
    assert told["likely"]["round"] == pytest.approx(0.119203)


def test_numbers_beyond_those_of_the_label_are_left_out():
    labels = {"age": {"arrays": {"shape": [2]}, "names": None}}
    asked = question(mtl.tasks.regress(label="age", outputs=2), labels, None)
    assert answer(asked, np.array([1.0, 2.0, 9.0]))[1]["numbers"] == [1.0, 2.0]
    gaussian = mtl.tasks.regress(label="age", loss="gaussian")
    assert answer(Question(gaussian), np.array([3.0, np.log(4.0)]))[1] == {"numbers": [3.0], "deviations": [2.0]}


def test_class_maps_take_the_largest_logit_at_the_own_size():
    logits = np.zeros((2, 2, 3), np.float32)
    logits[:, 1, 2] = 5
    arrays, told = answer(Question(mtl.tasks.segment(3), ("sky", "road", "tree"), size=(2, 8)), logits)
    assert arrays["classes"].dtype == np.uint8
    np.testing.assert_array_equal(arrays["classes"][0] == 2, [False, False, True, True, True, True, True, True])
    assert told["shares"] == {"tree": 0.75, "sky": 0.25}


def test_flow_and_points_are_in_pixels_of_the_own_size():
    flow = np.ones((4, 4, 12), np.float32)
    found = answer(Question(mtl.tasks.flow(), size=(8, 16)), flow)[0]["flow"]
    np.testing.assert_allclose(found, np.broadcast_to([4.0, 2.0], (8, 16, 2)), rtol=1e-6)
    heat = np.zeros((4, 4, 1), np.float32)
    heat[1, 2] = 50
    told = answer(Question(mtl.tasks.keypoints(1), ("nose",), size=(8, 16)), heat)[1]["points"][0]
    assert (told["name"], told["x"], told["y"]) == ("nose", 10.0, 3.0)
    assert told["probability"] == pytest.approx(1)


def test_directions_have_length_one():
    found = answer(Question(mtl.tasks.normals(), size=(4, 4)), np.full((2, 2, 3), 3.0))[0]["directions"]
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, rtol=1e-6)


def test_kinds_are_known_ones():
    with pytest.raises(UserError, match="did you mean 'classes'"):
        dataclasses.replace(mtl.tasks.depth(), kind="clases")
