"""Cameras and warping, against SciPy's interpolation, finite differences and the exact labels of `scenes`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from mtljax import geometry
from mtljax.data.scenes.render import render_clip

RNG = np.random.default_rng(0)
K = np.array([[20.0, 0, 8.5], [0, 22, 6], [0, 0, 1]], np.float32)
H, W = 12, 16


@pytest.fixture(scope="module")
def clip():
    return render_clip(32, 2, 0, "train", 1)


def matrices(camera):
    """Camera to world, (s, 4, 4)."""
    world = np.tile(np.eye(4), (len(camera["positions"]), 1, 1))
    world[:, :3, :3] = Rotation.from_quat(np.roll(camera["quaternions"], -1, axis=-1)).as_matrix()
    world[:, :3, 3] = camera["positions"]
    return world


def test_pixels_come_back_from_points():
    depth = RNG.uniform(1, 5, (2, 3, H, W, 1)).astype(np.float32)

    @jax.jit
    def and_back(depth):
        points = geometry.backproject(depth, jnp.asarray(K)[None, None])
        return points, *geometry.project(points, jnp.asarray(K)), geometry.pixel_grid(H, W)

    points, pixels, in_front, grid = and_back(depth)
    np.testing.assert_array_equal(points[..., 2:], depth)
    np.testing.assert_allclose(pixels, np.broadcast_to(grid, pixels.shape), atol=1e-4)
    assert in_front.all()


def test_points_move_rigidly():
    motion = RNG.normal(size=(2, 6)).astype(np.float32)
    points = RNG.normal(size=(2, H, W, 3)).astype(np.float32)
    moved, matrix = jax.jit(lambda m, p: (geometry.transform(matrix := geometry.matrix_of(m), p), matrix))(
        motion, points
    )
    wanted = np.einsum("bij,bhwj->bhwi", matrix[:, :3, :3], points) + matrix[:, None, None, :3, 3]
    np.testing.assert_allclose(moved, wanted, atol=1e-5)


def test_samples_are_scipys_and_say_what_is_inside():
    image = RNG.random((2, H, W, 3)).astype(np.float32)
    pixels = RNG.uniform(-3, 19, (2, 5, 7, 2)).astype(np.float32)
    values, there = jax.jit(geometry.sample)(image, pixels)
    rows_and_columns = np.moveaxis(pixels[..., ::-1] - 0.5, -1, 1)
    for b in range(2):
        for c in range(3):
            wanted = map_coordinates(image[b, ..., c], rows_and_columns[b], order=1, mode="nearest")
            np.testing.assert_allclose(values[b, ..., c], wanted, atol=1e-5)
    x, y = np.moveaxis(pixels, -1, 0)
    np.testing.assert_array_equal(there[..., 0], (x >= 0) & (x <= W) & (y >= 0) & (y <= H))
    assert 0.1 < there.mean() < 0.9


def test_gradients_of_samples_are_those_of_finite_differences():
    image = RNG.random((H, W, 2)).astype(np.float32)
    # Away from pixel centres, where the gradient jumps.
    pixels = (RNG.integers(1, 11, (4, 5, 2)) + RNG.uniform(0.6, 0.9, (4, 5, 2))).astype(np.float32)

    @jax.jit
    def total_and_gradients(pixels, image):
        def total(pixels, image):
            return jnp.sum(jnp.sin(geometry.sample(image, pixels)[0]))

        return jax.value_and_grad(total, argnums=(0, 1))(pixels, image)

    def total(pixels, image):
        return total_and_gradients(pixels, image)[0]

    at_pixels, at_image = total_and_gradients(pixels, image)[1]
    step = RNG.normal(size=pixels.shape).astype(np.float32) * 1e-2
    numeric = total(pixels + step, image) - total(pixels - step, image)
    np.testing.assert_allclose(2 * np.sum(at_pixels * step), numeric, rtol=2e-2)
    step = RNG.normal(size=image.shape).astype(np.float32) * 1e-2
    numeric = total(pixels, image + step) - total(pixels, image - step)
    np.testing.assert_allclose(2 * np.sum(at_image * step), numeric, rtol=1e-2)


def test_rigid_flow_is_the_exact_flow_of_what_stands_still(clip):
    world = matrices(clip["camera"])
    motion = np.linalg.inv(world[::-1]) @ world
    flow, in_front = jax.jit(geometry.rigid_flow)(clip["depth"], clip["camera"]["intrinsics"], motion)
    still = clip["segmentations"][..., 0] == 0
    for t, key in enumerate(("forward_flow", "backward_flow")):
        assert np.abs(flow[t] - clip[key][t])[still[t]].max() < 0.01
        assert np.linalg.norm(flow[t][still[t]], axis=-1).mean() > 0.5
    assert in_front.all()
    exact = (clip["depth"].astype(np.float64), clip["camera"]["intrinsics"].astype(np.float64), motion)
    by_numpy, seen = geometry.rigid_flow(*exact, xp=np)
    assert isinstance(by_numpy, np.ndarray)
    assert (by_numpy.dtype, seen.dtype) == (np.float64, np.bool_)
    np.testing.assert_allclose(by_numpy, flow, atol=1e-3)
    _, far = geometry.rigid_flow(*exact, near=1e3, xp=np)
    assert not far.any()


def test_a_view_is_the_source_along_the_rigid_flow(clip):
    world = matrices(clip["camera"])
    depth, k, motion = clip["depth"][0], clip["camera"]["intrinsics"], np.linalg.inv(world[1]) @ world[0]

    @jax.jit
    def both(source):
        flow, in_front = geometry.rigid_flow(depth, k, motion)
        wrong = geometry.view(source, depth, k, np.linalg.inv(motion))[0]
        return geometry.view(source, depth, k, motion), geometry.flow_warp(source, flow), in_front, wrong

    source, real = clip["video"][::-1].astype(np.float32)
    (made, valid), (along, inside), in_front, wrong = both(source)
    np.testing.assert_allclose(made, along, atol=0.05)
    np.testing.assert_array_equal(valid, inside & in_front)
    still = valid[..., 0] & (clip["segmentations"][0, ..., 0] == 0)
    off, off_unmoved, off_wrong = (np.abs(x - real)[still].mean() for x in (made, source, wrong))
    assert 1.1 * off < off_unmoved < 0.95 * off_wrong


@jax.jit
def viewed(depth, motion, source):
    def total(depth, motion):
        made, valid = geometry.view(source, depth, jnp.asarray(K), geometry.matrix_of(motion))
        return jnp.sum(jnp.where(valid, made, 0.0))

    return jax.value_and_grad(total, argnums=(0, 1))(depth, motion)


@pytest.mark.parametrize("z", [-5.0, 0.0, 1e-3, 1e-30, 3.0])
def test_gradients_are_finite_wherever_points_are(z):
    source = RNG.random((H, W, 3)).astype(np.float32)
    motion = np.array([0, 0, z - 1, 0, 0, 0], np.float32)
    value, gradients = viewed(np.ones((H, W, 1), np.float32), motion, source)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in gradients)
    if z < 1e-3:
        assert value == 0
        assert not np.any(gradients[0])
