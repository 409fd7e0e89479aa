"""Normals from depth that have a gradient: those of the labels, checked by finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtljax import geometry
from mtljax.data.labels.normals import normals_from_depth

H, W = 14, 18
K = np.array([[20.0, 0, 9], [0, 22, 7], [0, 0, 1]])
RNG = np.random.default_rng(0)
SLOPE = 2 + 0.02 * np.arange(W) + 0.015 * np.arange(H)[:, None] + RNG.normal(0, 0.005, (H, W))
DEPTH = np.where(np.arange(W) < 9, SLOPE, 2 * SLOPE)
VALID = RNG.random((H, W)) < 0.9


@pytest.mark.parametrize("radius", [1, 2])
def test_they_are_those_of_the_labels(radius):
    expected, known = normals_from_depth(DEPTH, VALID, K, radius)
    batch = (jnp.asarray(np.stack([DEPTH, DEPTH + 1]))[:, None, ..., None], jnp.asarray(VALID)[..., None])
    found, valid = geometry.normals_from_depth(*batch, jnp.asarray(np.stack([K, K]))[:, None], radius)
    np.testing.assert_array_equal(valid[0, 0, ..., 0], known)
    assert 0.3 < known.mean() < 1
    np.testing.assert_allclose(found[0, 0], expected, atol=2e-4)
    assert found.shape == (2, 1, H, W, 3)


def test_the_gradient_is_that_of_finite_differences():
    with jax.enable_x64(True):
        depth, valid, k = jnp.asarray(DEPTH)[..., None], jnp.asarray(VALID)[..., None], jnp.asarray(K)
        towards = jnp.asarray(RNG.normal(size=(H, W, 3)))

        @jax.jit
        def along(depth):
            return jnp.sum(geometry.normals_from_depth(depth, valid, k)[0] * towards)

        found = np.asarray(jax.jit(jax.grad(along))(depth))[..., 0]
        for place in ((3, 4), (7, 8), (7, 9), (10, 12)):
            step = 1e-6
            moved = [along(depth.at[place].add(sign * step)) for sign in (1, -1)]
            np.testing.assert_allclose(found[place], (moved[0] - moved[1]) / (2 * step), rtol=1e-4, atol=1e-6)
    assert not found[~VALID].any()
    assert np.abs(found[VALID]).max() > 0.1


def test_surfaces_meet_where_they_step_or_turn():
    depth = np.where(np.arange(4) < 2, 2.0, 3.0) * np.ones((3, 1))
    normal = np.tile([0.0, 0.0, -1.0], (3, 4, 1))
    normal[2] = [0, -1, 0]
    points = geometry.backproject(depth[..., None], K, np)
    cosine, off = geometry.meeting(points, depth, normal, axis=1, xp=np)
    np.testing.assert_allclose(off[:2], [[0, 0.5, 0]] * 2)
    np.testing.assert_array_equal(cosine, 1)
    cosine, off = geometry.meeting(points, depth, normal, axis=0, xp=np)
    np.testing.assert_array_equal(cosine, [[1] * 4, [0] * 4])
    np.testing.assert_allclose(off, 0, atol=1e-12)
    again = geometry.meeting(*map(jnp.asarray, (points, depth, normal)), axis=0)
    np.testing.assert_allclose(again[0], cosine, atol=1e-6)
