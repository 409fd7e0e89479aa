"""Masks: networks written out, places; the map of ids of golden masks, ties, objects that are hidden."""

import jax
import numpy as np
import pytest

from mtljax.data.labels.outlines import run_mask
from mtljax.objects.masks import NUMBERS, id_map, mask_logits
from tests.tasks import golden

ids_of = jax.jit(id_map)


def test_networks_are_as_written_out():
    rng = np.random.default_rng(0)
    features, numbers = rng.normal(size=(4, 5, 8)), rng.normal(size=(2, NUMBERS))
    cells = np.array([[1.0, 2.0], [4.0, 0.0]])
    found = jax.jit(mask_logits, static_argnums=3)(features, numbers, cells, 1)
    assert NUMBERS == 169
    for m, (x, y) in ((0, (3, 1)), (1, (0, 3))):
        w1, b1, w2, b2, w3, b3 = np.split(numbers[m], np.cumsum([80, 8, 64, 8, 8]))
        v = np.concatenate([features[y, x], (np.array([x, y]) - cells[m]) / 16])
        v = np.maximum(v @ w1.reshape(10, 8) + b1, 0)
        v = np.maximum(v @ w2.reshape(8, 8) + b2, 0)
        np.testing.assert_allclose(found[m, y, x], (v @ w3 + b3)[0], rtol=1e-4)


def test_logits_have_the_size_of_the_image():
    shapes = (jax.ShapeDtypeStruct(s, np.float32) for s in ((3, 2, 3, 8), (3, 4, NUMBERS), (3, 4, 2)))
    found = jax.eval_shape(lambda *x: mask_logits(*x, 4), *shapes)
    assert found.shape == (3, 4, 8, 12)


def test_golden_maps_of_ids(shared):
    given = golden.read(shared, "masks.json")
    most = max(len(image["masks"]) for image in given["images"])
    masks, scores = np.zeros((len(given["images"]), most, *given["size"]), bool), np.zeros((len(given["images"]), most))
    wanted = np.zeros((len(given["images"]), *given["size"]), int)
    for i, image in enumerate(given["images"]):
        for k, one in enumerate(image["masks"]):
            masks[i, k], scores[i, k] = run_mask(one["counts"], *given["size"]), one["score"]
        for one in image["panoptic"]:
            if one["category_id"] in given["things"]:
                wanted[i][run_mask(one["counts"], *given["size"])] = 1 + len(np.unique(wanted[i])) * 100
    found = np.asarray(ids_of(masks, scores))
    assert wanted.any(axis=(1, 2)).sum() > 4
    for one, other in zip(found, wanted, strict=True):  # the same segments, whatever they are called
        np.testing.assert_array_equal(one > 0, other > 0)
        assert (
            len(np.unique(np.stack([one, other]).reshape(2, -1), axis=1).T)
            == len(np.unique(one))
            == len(np.unique(other))
        )


@pytest.mark.parametrize(("front", "expected"), [(4, [2] * 4 + [1] * 4), (5, [2] * 5 + [0] * 3)])
def test_what_is_hidden_by_over_a_half_is_left_out(front, expected):
    masks = np.array([[True] * 8, [k < front for k in range(8)], [False] * 8])[:, None]
    np.testing.assert_array_equal(ids_of(masks, np.array([0.5, 0.9, 0.8]))[0], expected)
    assert not ids_of(masks, np.array([0.2, np.nan, 0.1])).any()
