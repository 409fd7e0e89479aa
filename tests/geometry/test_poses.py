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


@jax.jit
def there_and_back(motions):
    matrices = geometry.matrix_of(motions)
    found = geometry.motion_of(matrices)
    return matrices, found, geometry.matrix_of(found), geometry.inverse(matrices)


@pytest.fixture(scope="module")
def found():
    return there_and_back(MOTIONS)


def test_rotations_are_scipys(found):
    wanted = Rotation.from_rotvec(MOTIONS[:, 3:]).as_matrix()
    np.testing.assert_allclose(found[0][:, :3, :3], wanted, atol=5e-7)
    np.testing.assert_array_equal(found[0][:, :3, 3], MOTIONS[:, :3])


def test_a_matrix_tells_its_motion(found):
    matrices, motions, again, _ = found
    np.testing.assert_allclose(again, matrices, atol=2e-6)
    below = np.linalg.norm(MOTIONS[:, 3:], axis=-1) < 3.1
    np.testing.assert_allclose(motions[below], MOTIONS[below], atol=2e-6)


def test_an_inverse_undoes(found):
    matrices, _, _, inverse = found
    np.testing.assert_allclose(inverse, np.linalg.inv(matrices), atol=5e-6)
    exact = np.asarray(matrices, np.float64)
    by_numpy = geometry.inverse(exact, np)
    assert isinstance(by_numpy, np.ndarray)
    assert by_numpy.dtype == np.float64
    np.testing.assert_allclose(by_numpy, inverse, atol=1e-6)


def test_gradients_are_finite_at_rest():
    @jax.jit
    def gradients(motion):
        again = jax.jacobian(lambda m: geometry.motion_of(geometry.matrix_of(m)))
        return jax.jacobian(geometry.matrix_of)(motion), again(motion)

    for gradient in gradients(jnp.zeros(6)):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0.9


def test_poses_are_their_positions_and_quaternions():
    turns = Rotation.from_rotvec(VECTORS.reshape(-1, 3))
    quaternions = turns.as_quat()[:, [3, 0, 1, 2]].reshape(len(ANGLES), 20, 4)
    poses = geometry.pose_matrices(AXES, quaternions)
    np.testing.assert_allclose(poses[..., :3, :3].reshape(-1, 3, 3), turns.as_matrix(), atol=1e-12)
    np.testing.assert_array_equal(poses[..., :3, 3], AXES)
    np.testing.assert_array_equal(poses[..., 3, :], np.broadcast_to([0, 0, 0, 1], poses.shape[:-1]))
