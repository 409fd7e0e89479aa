"""Edges: thinning of labels and predictions, and matches at every threshold beside SciPy's."""

import numpy as np
import pytest
from scipy import ndimage, optimize

import mtljax as mtl
from mtljax.tasks.metrics.edge_matching import count_matches
from mtljax.tasks.metrics.thinning import THRESHOLDS, skeleton, thin
from mtljax.train.run.evaluate import Accumulator

TASK = mtl.tasks.edges()


def boundaries(size, seed):
    """Both sides of the boundaries of random discs, (size, size) bool: two pixels wide."""
    rng, ids = np.random.default_rng(seed), np.zeros((size, size), int)
    y, x = np.mgrid[:size, :size]
    for k in range(6):
        a, b = rng.uniform(0.1, 0.3, 2) * size
        ids[((x - rng.uniform(0, size)) / a) ** 2 + ((y - rng.uniform(0, size)) / b) ** 2 < 1] = k + 1
    found = np.zeros((size, size), bool)
    for axis in (0, 1):
        change = np.diff(ids, axis=axis) != 0
        for first in (0, 1):
            found[(slice(None),) * axis + (slice(first, size - 1 + first),)] |= change
    return found


def figures(truth, probability):
    batch = {"edge": truth[None, None, ..., None], "edge_valid": np.ones((1, 1, *truth.shape, 1), bool)}
    p = np.clip(probability, 1e-6, 1 - 1e-6)[None, None, ..., None]
    sums = TASK.host_sums(np.log(p / (1 - p)), batch)
    return {metric.name: metric.value(sums) for metric in TASK.metrics}


@pytest.mark.parametrize(("size", "least"), [(64, 0.87), (128, 0.96)])
def test_the_truth_blurred_is_as_good_as_found(size, least):
    truth = boundaries(size, 0)  # unthinned labels gave 0.75 here
    assert figures(truth, 0.7 * truth) == {"ODS_F": 1.0, "OIS_F": 1.0, "AP": 1.0}
    assert figures(truth, 0.2 + 0.5 * truth)["ODS_F"] > 0.98
    for width in (0.7, 1.0):
        assert figures(truth, ndimage.gaussian_filter(truth.astype(float), width))["ODS_F"] > least
    assert figures(truth, np.random.default_rng(0).random(truth.shape))["ODS_F"] < 0.5


def test_a_band_becomes_a_line_and_a_line_stays():
    band = np.zeros((1, 20, 20), bool)
    band[:, 8:10, 2:18] = True
    assert (skeleton(band).sum(axis=1) <= 1).all()
    assert skeleton(band).sum() >= 14
    line = np.eye(20, dtype=bool)[None]
    np.testing.assert_array_equal(skeleton(line), line)
    dot = np.zeros((1, 5, 5), bool)
    dot[0, 2, 2] = True
    np.testing.assert_array_equal(skeleton(dot), dot)


@pytest.mark.parametrize("seed", range(3))
def test_thinning_keeps_what_is_connected_at_every_threshold(seed):
    level = ndimage.gaussian_filter(np.random.default_rng(seed).random((24, 24)), 2)
    level = np.searchsorted(np.quantile(level, [0.5, 0.8]), level)[None]
    left = skeleton(level)
    ring = np.ones((3, 3))
    for k in (1, 2):
        alone = skeleton(level >= k)  # a threshold for itself: as many parts as before, each with something left
        assert ndimage.label(alone[0], ring)[1] == ndimage.label(level[0] >= k, ring)[1]
    assert set(np.unique(ndimage.label(level[0] >= 1, ring)[0][left[0]])) >= set(
        range(1, ndimage.label(level[0] >= 1, ring)[1] + 1)
    )
    np.testing.assert_array_equal(left & (level == 2), skeleton(level == 2))


@pytest.mark.parametrize("radius", [0.5, 1.0, 1.5, 2.3, 4.0])
@pytest.mark.parametrize("seed", range(3))
def test_matches_are_as_many_as_there_can_be_at_every_threshold(radius, seed):
    rng = np.random.default_rng(seed)
    probability = np.where(rng.random((9, 11)) < 0.4, rng.random((9, 11)).round(1 + seed), 0)
    truth = rng.random((9, 11)) < 0.25
    matched, predicted = count_matches(probability, truth, radius)
    targets = np.argwhere(truth)
    for i, threshold in enumerate(THRESHOLDS):
        points = np.argwhere(probability >= threshold)
        near = np.linalg.norm(points[:, None] - targets[None], axis=-1) <= radius
        rows, columns = optimize.linear_sum_assignment(-near.astype(float))
        assert (predicted[i], matched[i]) == (len(points), near[rows, columns].sum())


def test_a_dense_image_is_matched_too():
    """SciPy's matching of such an image may take minutes."""
    rng = np.random.default_rng(0)
    matched, predicted = count_matches(rng.random((128, 128)), rng.random((128, 128)) < 0.3, 1.4)
    assert (np.diff(matched) <= 0).all()
    assert matched[0] > 0.99 * (rng.random((128, 128)) < 0.3).sum() * 0.9
    assert predicted[0] > 16_000


def test_signals_are_looked_for_between_images():
    """Matching takes a while: a run that is told to stop does so after the image at hand."""
    truth = np.repeat(boundaries(16, 0)[None, None, ..., None], 3, axis=0)
    batch, asked = {"edge": truth, "edge_valid": np.ones_like(truth)}, []
    Accumulator({"edges": TASK}).add({}, {"edges": 4.0 * truth - 2}, batch, lambda: asked.append(None))
    assert len(asked) == 3


def test_nothing_is_matched_with_nothing():
    none = np.zeros((8, 8))
    for probability, truth in ((none, none > 0), (none + 0.5, none > 0), (none, none == 0)):
        matched, predicted = count_matches(probability, truth, 1.5)
        assert not matched.any()
        assert predicted[0] == 64 * (probability[0, 0] > 0)
    assert not thin(none[None]).any()
