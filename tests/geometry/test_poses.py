"""Motions and matrices, against SciPy's rotations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mtljax import geometry

RNG = np.random.default_rng(0)
ANGLES = (0.0, 1e-8, 1e-4, 1e-3, 2e-3, 0.5, 2.0, 3.1, 3.14159)
AXES = RNG.normal(size=(len(ANGLES), 20, 3))
VECTORS = np.array(ANGLES)[:, None, None] * AXES / np.linalg.norm(AXES, axis=-1, keepdims=True)
MOTIONS = np.concatenate([RNG.normal(size=VECTORS.shape), VECTORS], axis=-1).reshape(-1, 6).astype(np.float32)


def test_rotations_are_scipys():
    wanted = Rotation.from_rotvec(MOTIONS[:, 3:]).as_matrix()
    np.testing.assert_allclose(geometry.rotation_of(jnp.asarray(MOTIONS[:, 3:])), wanted, atol=5e-7)


def test_a_matrix_tells_its_motion():
    matrices = geometry.matrix_of(jnp.asarray(MOTIONS))
    again = geometry.matrix_of(geometry.motion_of(matrices))
    np.testing.assert_allclose(again, matrices, atol=2e-6)
    found = geometry.motion_of(matrices)
    below = np.linalg.norm(MOTIONS[:, 3:], axis=-1) < 3.1
    np.testing.assert_allclose(found[below], MOTIONS[below], atol=2e-6)


def test_an_inverse_undoes():
    matrices = geometry.matrix_of(jnp.asarray(MOTIONS))
    np.testing.assert_allclose(geometry.inverse(matrices), np.linalg.inv(matrices), atol=5e-6)


@pytest.mark.parametrize("function", [geometry.matrix_of, lambda m: geometry.motion_of(geometry.matrix_of(m))])
def test_gradients_are_finite_at_rest(function):
    gradient = jax.jacobian(function)(jnp.zeros(6))
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0.9
