"""The motion field: to first order the flow of a moving camera, and its least squares give the motion back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtljax import geometry

HEIGHT, WIDTH, FOCAL = 6, 8, 7.0
INTRINSICS = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]], np.float32)
PLACES = ((geometry.pixel_grid(HEIGHT, WIDTH, np) - INTRINSICS[:2, 2]) / FOCAL).reshape(-1, 2).astype(np.float32)
DEPTH = np.random.default_rng(0).uniform(1, 4, (HEIGHT, WIDTH, 1)).astype(np.float32)
MOTION = np.array([0.1, -0.2, 0.3, 0.02, 0.03, -0.01], np.float32)
FIELD = jax.jit(geometry.motion_field)(PLACES, 1 / DEPTH.ravel())


@jax.jit
def rigid_flow(motion):
    """From the frame to the next: the inverse of the motion, which leads from the next one's camera to this one's."""
    flow, _ = geometry.rigid_flow(DEPTH, INTRINSICS, geometry.inverse(geometry.matrix_of(motion)))
    return (flow / FOCAL).reshape(-1, 2)


def test_the_field_is_the_derivative_of_the_rigid_flow_at_rest():
    derivative = jax.jit(jax.jacfwd(rigid_flow))(jnp.zeros(6))
    np.testing.assert_allclose(FIELD, derivative, atol=1e-5)


@jax.jit
def solved(flow, weight, damping, tolerance):
    return geometry.motion_from_flow(flow, PLACES, 1 / DEPTH.ravel(), weight, damping, tolerance)


@pytest.mark.parametrize("size", [1e-3, 1e-1])
def test_a_motion_is_found_from_its_rigid_flow_but_for_the_second_order(size):
    found = solved(rigid_flow(np.float32(size) * MOTION), np.ones(len(PLACES)), 0.0, 1.0)
    assert np.abs(found - size * MOTION).max() < max(size**2, 1e-5)


def test_places_without_weight_or_far_off_do_not_count():
    flow = np.asarray(FIELD) @ MOTION
    flow[:5] += 3.0
    weight = np.ones(len(PLACES))
    fooled = solved(flow, weight, 0.0, 1e6)
    np.testing.assert_allclose(solved(flow, np.arange(len(PLACES)) >= 5, 0.0, 1e6), MOTION, atol=1e-4)
    assert np.abs(solved(flow, weight, 0.0, 1e-2) - MOTION).max() < 0.2 * np.abs(fooled - MOTION).max()


def test_what_the_flow_does_not_tell_is_nothing():
    one_place = jnp.zeros((1, 2)), jnp.ones(1), jnp.ones(1)  # its flow cannot tell a turn from a shift
    flow = jnp.array([[0.1, 0.0]])
    of_damping = jax.jit(lambda damping: geometry.motion_from_flow(flow, *one_place, damping=damping))
    turned, shifted = of_damping(jnp.array([1e3] * 3 + [1e-3] * 3)), of_damping(jnp.array([1e-3] * 3 + [1e3] * 3))
    np.testing.assert_allclose(turned, [0, 0, 0, 0, -0.1, 0], atol=1e-3)
    np.testing.assert_allclose(shifted, [-0.1, 0, 0, 0, 0, 0], atol=1e-3)


def test_gradients_are_finite_also_for_no_flow():
    gradient = jax.jit(jax.grad(lambda f, w: jnp.sum(solved(f, w, 1e-3, 1.0) ** 2), argnums=(0, 1)))
    for flow in (jnp.zeros((len(PLACES), 2)), rigid_flow(MOTION)):
        assert all(np.isfinite(g).all() for g in gradient(flow, jnp.ones(len(PLACES))))
