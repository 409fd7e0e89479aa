"""Labels hidden at random: independently, always the same ones, and nothing but labels."""

import numpy as np
import pytest

from mtljax.data import mix
from mtljax.data.hidden import Hidden
from mtljax.errors import UserError

LABELS = ("depth", "semantic", "ego_motion")


class Clips:
    """A source, and a data set, of examples all of whose labels are there."""

    name = "clips"

    def __init__(self, size):
        self._size = size

    def split(self, name):
        return self

    def __len__(self):
        return self._size

    def __getitem__(self, index):
        if not 0 <= index < self._size:
            raise IndexError(index)
        return {
            "image": np.full((1, 2, 2, 3), 9, np.uint8),
            "depth": np.ones((1, 2, 2, 1), np.float32),
            "depth_valid": np.ones((1, 2, 2, 1), bool),
            "semantic": np.ones((1, 2, 2, 1), np.int32),
            "semantic_valid": np.ones((1, 2, 2, 1), bool),
            "ego_motion": np.ones((1, 6), np.float32),
            "ego_motion_valid": np.ones((1, 1), bool),
            "frame_index": np.ones(1, np.int32),
            "frame_index_valid": np.ones(1, bool),
            "camera": {"positions": np.ones((1, 3), np.float32)},
            "instances": {"category": np.ones(3, np.int32)},
            "instances_valid": np.ones(3, bool),
        }


def shown(source):
    """(labels, N) bool."""
    return np.array([[source[i][f"{label}_valid"].all() for i in range(len(source))] for label in LABELS])


def test_each_label_is_hidden_with_the_probability_and_independently():
    there = shown(Hidden(Clips(2000), 0.3, seed=1))
    np.testing.assert_allclose(there.mean(axis=1), 0.7, atol=0.04)
    np.testing.assert_allclose(np.corrcoef(there), np.eye(3), atol=0.08)


def test_what_is_hidden_depends_on_seed_index_and_label_alone():
    there = shown(Hidden(Clips(50), 0.5, seed=1))
    np.testing.assert_array_equal(shown(Hidden(Clips(80), 0.5, seed=1))[:, :50], there)
    assert (shown(Hidden(Clips(50), 0.5, seed=2)) != there).any()
    more = shown(Hidden(Clips(50), 0.8, seed=1))
    assert not (more & ~there).any()  # with a larger share, the same ones and others
    assert shown(Hidden(Clips(50), 0.0, seed=1)).all()


def test_a_hidden_label_is_zero_and_all_else_stays():
    source, whole = Hidden(Clips(20), 0.5, seed=0), Clips(20)[0]
    for example in source:
        assert example.keys() == whole.keys()
        for label in LABELS:
            assert (example[label].shape, example[label].dtype) == (whole[label].shape, whole[label].dtype)
            assert example[label].all() == example[label].any() == example[f"{label}_valid"].any()
        for key in ("image", "camera", "frame_index", "frame_index_valid", "instances"):
            np.testing.assert_equal(example[key], whole[key])
    assert {example["instances_valid"].all() for example in source} == {True, False}


def test_an_example_that_a_mix_repeats_has_its_label_hidden_each_time():
    source = mix({"a": Clips(4), "b": Clips(40)}, ratio={"a": 1, "b": 1}).split("train")
    there = shown(Hidden(source, 0.5, seed=0))[:, :40].reshape(3, 4, 10)
    np.testing.assert_array_equal(there, there[..., :1].repeat(10, axis=-1))
    assert 0 < there.mean() < 1


@pytest.mark.parametrize("share", [-0.1, 1, 2])
def test_shares_that_cannot_be_are_named(share):
    with pytest.raises(UserError, match="expected from 0 to below 1"):
        Hidden(Clips(2), share, seed=0)
