"""Symmetry: all that looks the same is at no distance, the nearest is the nearest, JAX and NumPy agree."""

import itertools

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mtljax.objects.symmetry import BOX, CONE, CUBE, CYLINDER, NONE, SPHERE, TURNS, nearest

KINDS = {"none": NONE, "box": BOX, "cube": CUBE, "cylinder": CYLINDER, "cone": CONE, "sphere": SPHERE}
HALF = np.array([0.2, 0.5, 0.9])
compiled = jax.jit(nearest)


def same(kind, number=40):
    """Rotations of an object's own frame after which it looks the same."""
    spins = Rotation.from_rotvec(np.linspace(0, 2 * np.pi, number)[:, None] * [0, 0, 1]).as_matrix()
    flips = np.diag([1.0, -1, -1])
    return {
        NONE: np.eye(3)[None],
        BOX: np.stack([np.diag(d) for d in itertools.product([1.0, -1], repeat=3) if np.prod(d) > 0]),
        CUBE: TURNS,
        CYLINDER: np.concatenate([spins, flips @ spins]),
        CONE: spins,
        SPHERE: Rotation.random(number, rng=np.random.default_rng(9)).as_matrix(),
    }[kind]


def test_a_cube_has_24_turns():
    assert len({turn.round(6).tobytes() for turn in TURNS}) == 24
    np.testing.assert_allclose(np.linalg.det(TURNS), 1)
    np.testing.assert_array_equal(TURNS[0], np.eye(3))
    np.testing.assert_array_equal(np.abs(TURNS[:4]), np.broadcast_to(np.eye(3), (4, 3, 3)))


@pytest.mark.parametrize("name", KINDS)
def test_what_looks_the_same_is_met_exactly(name):
    turns, truth = same(KINDS[name]), Rotation.random(rng=np.random.default_rng(0)).as_matrix()
    found, sizes = nearest(
        truth @ turns, np.broadcast_to(truth, turns.shape), np.full(len(turns), KINDS[name]), HALF, np
    )
    np.testing.assert_allclose(found, truth @ turns, atol=1e-12)
    if KINDS[name] == CUBE:  # the same solid: sizes go along with the axes
        corners = np.abs(np.einsum("nij,nj->ni", turns, sizes))
        np.testing.assert_allclose(corners, np.broadcast_to(HALF, corners.shape))
    else:
        np.testing.assert_array_equal(sizes, np.broadcast_to(HALF, sizes.shape))


@pytest.mark.parametrize("name", KINDS)
def test_none_that_looks_the_same_is_nearer(name):
    rng = np.random.default_rng(1)
    turns = same(KINDS[name], 400)
    for _ in range(5):
        guess, truth = Rotation.random(2, rng=rng).as_matrix()
        found, _ = nearest(guess, truth, np.array(KINDS[name]), HALF, np)
        every = np.einsum("ij,njk,ik->n", truth, turns, guess)
        assert np.sum(guess * found) >= every.max() - 1e-9
        between = truth.T @ found
        if KINDS[name] in (BOX, CUBE, NONE):
            assert np.min(np.abs(turns - between).max(axis=(1, 2))) < 1e-9


def test_jax_is_as_numpy():
    rng = np.random.default_rng(2)
    guess, truth = Rotation.random(12, rng=rng).as_matrix(), Rotation.random(12, rng=rng).as_matrix()
    kinds = np.array([*KINDS.values()] * 2)
    for one, other in zip(compiled(guess, truth, kinds, HALF), nearest(guess, truth, kinds, HALF, np), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
