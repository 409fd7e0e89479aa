"""Decoding: golden slots, too few peaks, clipped and empty boxes, heat that is no number."""

import functools

import jax
import numpy as np
import pytest

from mtljax.objects.decoding import decode, read
from tests.tasks import golden

decoded = jax.jit(functools.partial(decode, slots=8, stride=4))  # of two frames of 12 x 12 cells: compiled once


@pytest.fixture(scope="module")
def maps(shared):
    """The golden maps, after a frame without anything."""
    given = golden.read(shared, "maps.json")["maps"]
    return [np.stack([0 * m, m]) for m in (np.array(given[key], np.float32) for key in ("q", "size", "offset"))]


def test_golden_slots(shared, maps):
    expected = golden.read(shared, "maps.json")["expected"]["decoded"]
    found = decoded(*maps)
    for name, key in (("score", "score"), ("category", "class"), ("cell", "cell"), ("box", "box")):
        np.testing.assert_allclose(getattr(found, name)[1], [one[key] for one in expected], atol=1e-5, err_msg=name)


def test_where_there_are_fewer_peaks_than_slots_the_rest_has_no_score(maps):
    heat, size, offset = (m.copy() for m in maps)
    heat[0, 2, 3, 1], heat[0, 11, 10:, 0] = 0.9, 0.1
    size[0, 2, 3], offset[0, 2, 3], size[0, 11, 11] = [-1, 2], [0.5, 0.25], [3, 40]
    found = jax.tree.map(lambda x: x[0], decoded(heat, size, offset))
    np.testing.assert_allclose(found.score, [0.9, 0.1, 0.1, 0, 0, 0, 0, 0])  # both cells of a plateau are peaks
    assert found.category[:3].tolist() == [1, 0, 0]
    assert found.cell[:3].tolist() == [[3, 2], [10, 11], [11, 11]]
    np.testing.assert_array_equal(found.box[0], [14, 5, 14, 13])  # no width below 0
    np.testing.assert_array_equal(found.box[2], [38, 0, 48, 48])  # clipped


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_frame_whose_heat_is_no_number_says_so(maps, wrong):
    heat, size, offset = (m.copy() for m in maps)
    heat[0, 5, 5, 1] = wrong
    found = decoded(heat, size, offset)
    assert np.isnan(found.score[0]).all()
    np.testing.assert_array_equal(found.score[1], decoded(*maps).score[1])


def test_read_takes_x_then_y():
    maps = np.arange(2 * 3 * 4 * 2).reshape(2, 3, 4, 2)
    found = jax.jit(read)(maps, np.array([[[3, 1]], [[0, 2]]]))
    np.testing.assert_array_equal(found, maps[[0, 1], [1, 2], [3, 0]][:, None])
