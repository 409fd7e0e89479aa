"""Heat maps: golden numbers, what the radius promises, frames by themselves, padding."""

import functools

import jax
import numpy as np
import pytest

from mtljax.objects.targets import exact_radius, heat_map
from tests.tasks import golden

radius = jax.jit(exact_radius)
draw = jax.jit(functools.partial(heat_map, height=12, width=12, maps=2))  # of two frames of five objects: compiled once


def test_golden_radii(shared):
    given = golden.read(shared, "maps.json")["radius"]
    found = radius(np.array(given["sizes"], np.float32))
    np.testing.assert_allclose(found, given["values"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [(30.0, 20.0), (7.0, 50.0)])
def test_the_radius_keeps_the_overlap(size):
    """The worst of the three cases has an IoU of exactly 0.7."""
    w, h = size
    r = float(radius(np.array([size] * 16))[0])
    moved = (w - r) * (h - r) / (2 * w * h - (w - r) * (h - r))
    shrunk, grown = (w - 2 * r) * (h - 2 * r) / (w * h), w * h / ((w + 2 * r) * (h + 2 * r))
    assert min(moved, shrunk, grown) == pytest.approx(0.7, abs=1e-5)


def objects(rng):
    low = rng.uniform(0, 8, (2, 5, 2))
    boxes = np.concatenate([low, low + rng.uniform(0, 4, low.shape)], axis=-1).astype(np.float32)
    return boxes, rng.random((2, 5)) > 0.3, rng.integers(0, 2, (2, 5))


def test_golden_heat_map(shared):
    given = golden.read(shared, "maps.json")["heat"]
    boxes, valid, kinds = objects(np.random.default_rng(0))
    boxes[1], valid[1], kinds[1] = given["boxes"], True, given["classes"]
    np.testing.assert_allclose(draw(boxes, valid, kinds)[1], given["target"], atol=1e-5)


def test_a_wide_bell_is_as_written_out():
    """Sides of 30: the radius is 2.45, of which 2 are whole; on small maps no bell is wider than 1."""
    found = jax.jit(heat_map, static_argnums=(3, 4))(
        np.array([[1.0, 1, 31, 31]]), np.ones(1, bool), np.zeros(1, int), 32, 32
    )
    dy, dx = np.mgrid[-16:16, -16:16]
    bell = np.exp(-(dx**2 + dy**2) / (2 * (5 / 6) ** 2))
    np.testing.assert_allclose(found[..., 0], np.where(np.maximum(abs(dx), abs(dy)) <= 2, bell, 0), atol=1e-6)


def test_frames_do_not_touch_and_order_is_nothing():
    boxes, valid, kinds = objects(np.random.default_rng(1))
    both = draw(boxes, valid, kinds)
    np.testing.assert_array_equal(both, draw(boxes[:, ::-1], valid[:, ::-1], kinds[:, ::-1]))
    np.testing.assert_array_equal(both[::-1], draw(boxes[::-1], valid[::-1], kinds[::-1]))
    alone = draw(boxes, valid & [[True], [False]], kinds)
    np.testing.assert_array_equal(both[0], alone[0])
    assert not np.any(alone[1])
    assert np.max(both) == 1


def test_what_is_not_valid_is_not_drawn():
    boxes, valid, kinds = objects(np.random.default_rng(2))
    boxes[0] = np.array([[np.nan] * 4, [np.inf] * 4, [-50.0, -50, -40, -40], [0, 0, 0, 0], [1, 1, 2, 2]])
    valid[0], valid[1] = False, True
    found = draw(boxes, valid, kinds)
    assert not np.any(found[0])
    assert np.isfinite(found).all()
