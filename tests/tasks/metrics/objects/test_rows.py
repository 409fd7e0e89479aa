"""From slots to rows, and from detections to objects."""

import numpy as np

from mtljax.tasks.metrics.objects.overlap import box_areas
from mtljax.tasks.metrics.objects.pairing import found_for
from mtljax.tasks.metrics.objects.precision import Truth, precision_figures
from mtljax.tasks.metrics.objects.slots import rows_by_class, sides_of


def test_slots_count_once_for_each_class():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 40, (3, 4, 2))
    corners = np.concatenate([low, low + 10], axis=-1)
    probability = np.tile([0.7, 0.28, 0.02], (3, 4, 1))
    score = np.array([[0.9, 0.5, 0.05, 0.0]] * 3)
    found, slot = rows_by_class(np.array([5, 6, 7]), corners, score, probability)
    assert found.category.tolist() == [1, 2, 1, 2, 1] * 3
    np.testing.assert_allclose(found.score[:5], [0.63, 0.252, 0.35, 0.14, 0.035])
    np.testing.assert_array_equal(found.shape, sides_of(corners.reshape(-1, 4))[slot])
    box = sides_of(corners[:, :2].reshape(-1, 4))
    ones = np.ones(6, int)
    truth = Truth(np.repeat([5, 6, 7], 2), ones, box, box_areas(box), ones < 0)
    assert precision_figures(truth, found)["AP/1"] == 1
    score[1, 1] = np.nan
    found, _ = rows_by_class(np.array([5, 6, 7]), corners, score, probability)
    assert np.isnan(precision_figures(truth, found)["AP"])


def test_each_object_has_one_detection():
    truth = np.array([[0.0, 0, 10, 10], [2.0, 0, 10, 10], [50.0, 0, 10, 10], [80.0, 0, 10, 10]])
    found = np.array([[1.0, 0, 10, 10], [2.0, 0, 10, 10], [57.0, 0, 10, 10], [80.0, 0, 10, 10], [80.0, 0, np.nan, 10]])
    score = np.array([0.9, 0.9, 0.9, 0.3, 0.9])
    np.testing.assert_array_equal(found_for(truth, found, score), [0, 1, -1, -1])
    assert found_for(truth, found[:0], score[:0]).tolist() == [-1] * 4
    assert found_for(truth[:0], found, score).shape == (0,)
