"""Poses from twelve numbers: golden ones, what the ray's rotation is, gradients where they are hardest."""

import jax
import numpy as np
from scipy.spatial.transform import Rotation

from mtljax.objects.poses import Numbers, pose, ray_rotation, rotation_from_six, split
from mtljax.objects.symmetry import nearest
from tests.tasks import golden

K = np.array([[57.6, 0, 32], [0, 57.6, 32], [0, 0, 1]])
posed = jax.jit(pose, static_argnums=3)


def test_golden_poses(shared):
    given = golden.read(shared, "maps.json")["poses"]
    six, pixel, depth = (np.array([one[key] for one in given]) for key in ("six", "centre_px", "log_z"))
    rng = np.random.default_rng(0)
    shift = rng.normal(size=pixel.shape)  # what the box's centre is off is made up by the shift
    numbers = Numbers(six, shift, depth, np.zeros((len(given), 3)))
    found = posed(numbers, pixel / 4 - shift, K, 4)
    np.testing.assert_allclose(found.translation, [one["t"] for one in given], atol=1e-5)
    np.testing.assert_allclose(found.rotation, [one["R"] for one in given], atol=1e-5)


def test_products_of_rotations_are_of_full_precision():
    """On accelerators they would be of ten bits, or of seven; the CPU does not tell."""
    exact = "precision=(Precision.HIGHEST, Precision.HIGHEST)"
    for made in (
        jax.make_jaxpr(lambda raw: pose(split(raw), raw[..., :2], K, 4))(np.zeros((2, 12), np.float32)),
        jax.make_jaxpr(nearest)(*np.zeros((2, 2, 3, 3), np.float32), np.zeros(2, int), np.ones((2, 3), np.float32)),
    ):
        text = " ".join(str(made).split())
        assert text.count(exact) == text.count("dot_general[") > 0


def test_zeros_look_at_the_camera():
    found = posed(split(np.zeros((10, 12), np.float32)), np.full((10, 2), 8.0), K, 4)
    np.testing.assert_allclose(found.rotation[0], np.eye(3), atol=1e-6)
    np.testing.assert_allclose(found.translation[0], [0, 0, np.exp(1.6)], rtol=1e-6)
    np.testing.assert_allclose(found.half_sizes[0], 1)


def test_each_number_has_its_place():
    numbers = split(np.arange(12, dtype=np.float32))
    np.testing.assert_allclose(numbers.six, [1, 1, 2, 3, 5, 5])
    np.testing.assert_allclose(numbers.shift, [6, 7])
    np.testing.assert_allclose([numbers.log_depth, *numbers.log_sizes], [9.6, 9, 10, 11])


def test_the_rays_rotation_is_the_smallest():
    rng = np.random.default_rng(1)
    t = np.concatenate([rng.normal(size=(20, 2)), rng.uniform(0.5, 2, (20, 1))], axis=1)
    found = np.asarray(jax.jit(ray_rotation)(t))
    unit = t / np.linalg.norm(t, axis=1, keepdims=True)
    np.testing.assert_allclose(found[:, :, 2], unit, atol=1e-5)
    np.testing.assert_allclose(Rotation.from_matrix(found).magnitude(), np.arccos(unit[:, 2]), atol=1e-4)


HARD = {
    "no first axis": [0, 0, 0, 0, 1, 0],
    "no second axis": [1, 0, 0, 0, 0, 0],
    "coincident axes": [1, 2, 3, 2, 4, 6],
    "opposite axes": [0, 0, 1, 0, 0, -1],
    "nothing": [0] * 6,
    "nearly coincident": [1, 0, 0, 1, 1e-6, 0],
}


def test_a_rotation_is_made_of_any_axes():
    six = np.array([*HARD.values()], np.float32)
    weights = np.random.default_rng(0).normal(size=(len(six), 3, 3))

    def weighted(x):
        turned = rotation_from_six(x)
        return (turned * weights).sum(), turned

    slope = jax.grad(weighted, has_aux=True)
    slopes, found = (np.asarray(x, np.float64) for x in jax.jit(slope)(six))
    np.testing.assert_allclose(np.swapaxes(found, 1, 2) @ found, np.broadcast_to(np.eye(3), found.shape), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(found), 1, atol=1e-5)
    assert np.isfinite(slopes).all()
