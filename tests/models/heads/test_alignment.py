"""Direct alignment finds the motion between a view and the map that it is made from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from mtljax import geometry
from mtljax.models.heads.motion.alignment import aligned

N, HEIGHT, WIDTH = 2, 20, 24
INTRINSICS = np.tile(np.float32([[24, 0, 12], [0, 24, 10], [0, 0, 1]]), (N, 1, 1))
RNG = np.random.default_rng(0)
DEPTH = (1 / ndimage.gaussian_filter(RNG.uniform(0.2, 1.8, (N, HEIGHT, WIDTH, 1)), (0, 2, 2, 0))).astype(np.float32)
SECOND = ndimage.gaussian_filter(RNG.normal(size=(N, HEIGHT, WIDTH, 8)), (0, 2, 2, 0)).astype(np.float32)
SECOND /= SECOND.std()
MOTION = np.float32([[0.05, -0.03, 0.02, 0.01, -0.02, 0.02], [-0.04, 0.02, -0.03, -0.01, 0.02, 0.01]])
NONE = np.zeros((N, 6), np.float32)


@jax.jit
def seen_by_the_first(motion):
    to_second = geometry.inverse(geometry.matrix_of(motion))
    pixels, _ = geometry.seen_from(DEPTH, INTRINSICS, to_second)
    return geometry.sample(jnp.asarray(SECOND), pixels)[0]


@jax.jit
def step(motion, first, weight, damping):
    return aligned(motion, first, SECOND, weight, 1 / DEPTH, jnp.asarray(INTRINSICS), damping, jnp.array(0.3))


def found(first, weight=None, damping=0.0, steps=8):
    motion, weight = NONE, np.ones_like(DEPTH) if weight is None else weight
    for _ in range(steps):
        motion = step(motion, first, weight, np.full((N, 6), damping, np.float32))
    return np.asarray(motion)


def test_steps_come_to_the_motion():
    first = seen_by_the_first(MOTION)
    errors = [np.abs(found(first, steps=n) - MOTION).max() for n in (1, 3, 8)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.05 * np.abs(MOTION).max()
    np.testing.assert_allclose(step(MOTION, first, np.ones_like(DEPTH), NONE), MOTION, atol=1e-4)  # and stay there


def test_cells_without_weight_do_not_count_and_those_that_differ_count_for_less():
    first = seen_by_the_first(MOTION)
    wrong = np.array(first)
    wrong[:, :6, :8] = RNG.normal(size=(N, 6, 8, 8))
    weight = np.ones_like(DEPTH)
    weight[:, :8, :10] = 0  # gradients reach one cell farther
    assert np.abs(found(wrong, weight) - MOTION).max() < 0.1 * np.abs(MOTION).max()
    assert np.abs(found(wrong) - MOTION).max() < 0.5 * np.abs(MOTION).max()


def test_damping_pulls_the_whole_motion_to_nothing():
    first = seen_by_the_first(MOTION)
    assert np.abs(found(first, damping=1e3)).max() < 1e-3
    pulled = step(MOTION, first, np.ones_like(DEPTH), np.full((N, 6), 1e3, np.float32))
    assert (np.abs(pulled) < 0.5 * np.abs(MOTION)).all()  # as far as a step goes


def test_a_step_moves_the_image_by_a_cell_at_most():
    first = seen_by_the_first(20 * MOTION)
    moved = np.asarray(step(NONE, first, np.ones_like(DEPTH), NONE))
    places = ((geometry.pixel_grid(HEIGHT, WIDTH) - INTRINSICS[0, :2, 2]) / 24).reshape(-1, 2)
    field = geometry.motion_field(places, 1 / DEPTH.reshape(N, -1))
    lengths = np.linalg.norm(24 * np.einsum("npqk,nk->npq", field, moved), axis=-1)
    assert (np.sqrt(np.mean(lengths**2, axis=-1)) < 1.001).all()


@pytest.mark.parametrize("first", [np.zeros_like(SECOND), SECOND], ids=["blank", "the same"])
def test_gradients_are_finite(first):
    def loss(motion, first, weight):
        return jnp.sum(step(motion, first, weight, jnp.full((N, 6), 1e-3)) ** 2)

    for gradient in jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(NONE, first, np.ones_like(DEPTH)):
        assert np.isfinite(gradient).all()
