"""Heat maps: golden numbers, what the radius promises, frames by themselves, padding."""

import jax
import numpy as np
import pytest

from mtljax.tasks.objects.targets import exact_radius, heat_map
from tests.tasks import golden

draw = jax.jit(heat_map, static_argnums=(3, 4, 5))


def test_golden_radii(shared):
    given = golden.read(shared, "maps.json")["radius"]
    found = exact_radius(np.array(given["sizes"], np.float32))
    np.testing.assert_allclose(found, given["values"], rtol=1e-5, atol=1e-5)


def test_golden_heat_map(shared):
    given = golden.read(shared, "maps.json")["heat"]
    boxes = np.array(given["boxes"], np.float32)
    found = draw(boxes, np.ones(len(boxes), bool), np.array(given["classes"]), 12, 12, 2)
    np.testing.assert_allclose(found, given["target"], atol=1e-5)


@pytest.mark.parametrize("size", [(30.0, 20.0), (7.0, 50.0)])
def test_the_radius_keeps_the_overlap(size):
    """The worst of the three cases has an IoU of exactly 0.7."""
    w, h = size
    r = float(exact_radius(np.array(size)))
    moved = (w - r) * (h - r) / (2 * w * h - (w - r) * (h - r))
    shrunk, grown = (w - 2 * r) * (h - 2 * r) / (w * h), w * h / ((w + 2 * r) * (h + 2 * r))
    assert min(moved, shrunk, grown) == pytest.approx(0.7, abs=1e-5)


def test_frames_do_not_touch_and_order_is_nothing():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 8, (2, 4, 2))
    boxes = np.concatenate([low, low + rng.uniform(0, 4, low.shape)], axis=-1).astype(np.float32)
    valid, kinds = rng.random((2, 4)) > 0.3, rng.integers(0, 2, (2, 4))
    both = draw(boxes, valid, kinds, 12, 12, 2)
    other = draw(boxes[:, ::-1], valid[:, ::-1], kinds[:, ::-1], 12, 12, 2)
    np.testing.assert_array_equal(both, other)
    alone = [heat_map(*x, 12, 12, 2) for x in zip(boxes, valid, kinds, strict=True)]
    np.testing.assert_allclose(both, np.stack(alone), atol=1e-6)


def test_what_is_not_valid_is_not_drawn():
    boxes = np.array([[np.nan] * 4, [np.inf] * 4, [-50.0, -50, -40, -40], [0, 0, 0, 0]], np.float32)
    assert not np.any(draw(boxes[None], np.zeros((1, 4), bool), np.zeros((1, 4), int), 5, 5, 1))
