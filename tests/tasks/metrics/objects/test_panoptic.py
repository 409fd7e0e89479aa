"""Panoptic quality: golden figures, laws, void and crowds, nothing at all."""

import numpy as np
import pytest

from mtljax.data.labels.outlines import run_mask
from mtljax.tasks.metrics.objects.panoptic import Segments, panoptic_counts, panoptic_figures
from tests.tasks import golden


def segments(rows, size):
    ids = np.zeros(size, int)
    for i, one in enumerate(rows, 1):
        ids[run_mask(one["counts"], *size)] = i
    category = np.array([0, *(one["category_id"] for one in rows)])
    return Segments(ids, category, np.array([0, *(one.get("iscrowd", 0) for one in rows)]) > 0)


@pytest.fixture(scope="module")
def images(shared):
    given = golden.read(shared, "masks.json")
    return [[segments(image[name], given["size"]) for name in ("truth", "panoptic")] for image in given["images"]]


@pytest.mark.parametrize(("part", "classes"), [("all", [1, 2, 3, 4, 5]), ("things", [1, 2, 3]), ("stuff", [4, 5])])
def test_golden_figures(shared, images, part, classes):
    expected = golden.read(shared, "masks.json")["expected"]
    counts = sum(panoptic_counts(*image, classes=5) for image in images)
    wanted = {name: value for name, value in expected[f"panoptic_{part}"].items() if name != "classes"}
    golden.equal(panoptic_figures(counts[:, classes]), wanted)
    for c in classes:
        np.testing.assert_allclose(counts[:, c], [*expected["panoptic_by_class"][str(c)].values()], atol=1e-9)


def test_the_truth_is_perfect_whatever_it_is_called(images):
    for truth, _ in images:
        order = np.append(0, 1 + np.random.default_rng(0).permutation(len(truth.category) - 1))
        kept = Segments(np.where(truth.crowd[truth.ids], 0, truth.ids), truth.category, truth.crowd)
        renamed = Segments(np.argsort(order)[kept.ids], kept.category[order])
        figures = panoptic_figures(panoptic_counts(truth, renamed, classes=5))
        assert set(figures.values()) == {1.0}


def test_void_is_left_out_and_crowds_excuse():
    truth = Segments(np.array([[1, 1, 1, 0, 0, 0, 2, 2, 2]]), np.array([0, 1, 2]), np.array([False, False, True]))
    over_void = Segments(np.array([[1, 1, 1, 1, 1, 2, 3, 3, 3]]), np.array([0, 1, 1, 2]))
    np.testing.assert_array_equal(panoptic_counts(truth, over_void, 2), [[0, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]])
    other = over_void._replace(category=np.array([0, 1, 1, 1]))  # a crowd of another class excuses nothing
    assert panoptic_counts(truth, other, 2)[2].tolist() == [0, 1, 0]
    none = Segments(np.zeros((1, 9), int), np.array([0]))
    assert panoptic_counts(truth, none, 2)[3].tolist() == [0, 1, 0]


def test_nothing_has_no_figure():
    assert np.isnan([*panoptic_figures(np.zeros((4, 3))).values()]).all()
