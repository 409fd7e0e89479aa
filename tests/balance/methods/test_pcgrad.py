import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl

NUMBER, WIDTH = 2000, 6


def by_definition(jacobian, orders):
    """Algorithm 1 of the paper, on vectors, in float64."""
    rows = jacobian.astype(np.float64)
    total = np.zeros(rows.shape[1])
    for i, order in enumerate(orders):
        g = rows[i].copy()
        for j in order:
            if j != i and g @ rows[j] < 0:
                g -= (g @ rows[j]) / (rows[j] @ rows[j]) * rows[j]
        total += g
    return total


def directions(jacobian, seeds):
    # Parameters that nothing depends on fill it up, and more seeds than are asked for: one compilation a number of tasks.
    rows, width = jacobian.shape
    wide = np.pad(jacobian, ((0, 0), (0, WIDTH - width)))
    return np.asarray(over_seeds(rows)(wide, jnp.arange(NUMBER), jnp.zeros(WIDTH)))[:seeds, :width]


@functools.cache
def over_seeds(num_tasks):
    balancer = mtl.pcgrad(num_tasks)

    def one(jacobian, seed, params):
        state = balancer.init(params)._replace(rule=jax.random.key(seed))
        return balancer.update(jacobian, state, params)[0]

    return jax.jit(jax.vmap(one, (None, 0, None)))


def test_two_tasks_exactly():
    jacobian = np.array([[1.0, 0.0, 2.0], [-3.0, 1.0, 0.5]], np.float32)
    found = directions(jacobian, 4)
    np.testing.assert_allclose(found, np.tile(by_definition(jacobian, [(0, 1), (0, 1)]), (4, 1)), rtol=1e-5)


@pytest.mark.parametrize("scale", [(1, 1, 1), (0.1, 1, 10), (1e-12, 1, 1e12)])
def test_three_tasks_give_each_order_as_often_as_the_definition(scale):
    jacobian = (
        np.array([[1.0, 0.2, 0.1], [-1.0, 1.0, 0.3], [0.1, -1.0, -0.8]], np.float32)
        * np.array(scale, np.float32)[:, None]
    )
    others = [list(itertools.permutations(o)) for o in ((1, 2), (0, 2), (0, 1))]
    outcomes = np.array([by_definition(jacobian, orders) for orders in itertools.product(*others)])
    found = directions(jacobian, NUMBER)
    distance = np.linalg.norm(found[:, None] - outcomes[None], axis=2) / np.linalg.norm(outcomes, axis=1)
    assert distance.min(axis=1).max() < 1e-5  # each is one of the eight
    mean, spread = outcomes.mean(0), outcomes.std(0)
    assert (np.abs(found.mean(0) - mean) <= 5 * spread / np.sqrt(NUMBER) + 1e-5 * np.abs(mean)).all()


def test_rows_without_conflict_are_summed():
    jacobian = np.eye(4, dtype=np.float32) * np.array([[1], [2], [3], [4]], np.float32)
    np.testing.assert_allclose(directions(jacobian, 1)[0], jacobian.sum(0), rtol=1e-6)


def test_a_small_agreement_is_no_conflict():
    jacobian = np.array([[1.0, 0.0], [0.1, 1.0]], np.float32)
    np.testing.assert_allclose(directions(jacobian, 1)[0], jacobian.sum(0), rtol=1e-6)


def test_positive_homogeneity():
    jacobian = np.random.default_rng(1).normal(size=(4, 6)).astype(np.float32)
    np.testing.assert_allclose(directions(jacobian * 1e6, 3), directions(jacobian, 3) * 1e6, rtol=1e-4)
