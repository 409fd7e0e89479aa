"""Decoding: golden slots, too few peaks, clipped and empty boxes, heat that is no number."""

import jax
import numpy as np
import pytest

from mtljax.tasks.objects.decoding import decode, read
from tests.tasks import golden

found_in = jax.jit(decode, static_argnums=(3, 4))


@pytest.fixture(scope="module")
def maps(shared):
    return [np.array(golden.read(shared, "maps.json")["maps"][key], np.float32) for key in ("q", "size", "offset")]


def test_golden_slots(shared, maps):
    expected = golden.read(shared, "maps.json")["expected"]["decoded"]
    found = found_in(*maps, 8, 4)
    for name, key in (("score", "score"), ("category", "class"), ("cell", "cell"), ("box", "box")):
        np.testing.assert_allclose(getattr(found, name), [one[key] for one in expected], atol=1e-5, err_msg=name)


def test_where_there_are_fewer_peaks_than_slots_the_rest_has_no_score():
    heat = np.full((4, 5, 1), 0.1, np.float32) * np.linspace(1, 0.5, 5, dtype=np.float32)[None, :, None]
    heat[2, 3] = 0.9
    ones = np.ones((4, 5, 2), np.float32)
    found = found_in(heat, -ones, 3 * ones, 8, 4)
    assert found.score[0] == np.float32(0.9)
    assert tuple(found.cell[0]) == (3, 2)
    # The column of 0.1 is a plateau: each of its cells is as high as all about it.
    np.testing.assert_allclose(found.score[1:], [0.1] * 4 + [0] * 3)
    np.testing.assert_array_equal(found.box[0], [20, 16, 20, 16])  # no width below 0; clipped to 20 x 16 pixels


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_frame_whose_heat_is_no_number_says_so(maps, wrong):
    heat, size, offset = (np.stack([m, m]) for m in maps)
    heat[1, 5, 5, 1] = wrong
    found = found_in(heat, size, offset, 8, 4)
    assert np.isnan(found.score[1]).all()
    np.testing.assert_array_equal(found.score[0], found_in(*maps, 8, 4).score)


def test_read_takes_x_then_y():
    maps = np.arange(2 * 3 * 4 * 2).reshape(2, 3, 4, 2)
    np.testing.assert_array_equal(read(maps, np.array([[[3, 1]], [[0, 2]]])), maps[[0, 1], [1, 2], [3, 0]][:, None])
