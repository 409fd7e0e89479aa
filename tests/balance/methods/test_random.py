"""Random methods against their definitions: every outcome where they are few, the distribution where they are many."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from tests.balance.methods.table import is_key

JACOBIAN = np.array([[1.0, 0.2, 0.1], [-1.0, 1.0, 0.3], [0.1, -1.0, -0.8]], np.float32)
NUMBER = 2000


def draws(method, **numbers):
    """Directions of `NUMBER` fresh states with keys of their own, and their weights."""
    return jax.tree.map(np.asarray, drawing(method)(numbers))


@functools.cache
def drawing(method):
    return jax.jit(lambda numbers: drawn(getattr(mtl, method)(3, **numbers)))


def drawn(balancer):
    params = jnp.zeros(3)
    state = balancer.init(params)

    def one(seed):
        rule = jax.tree.map(lambda leaf: jax.random.key(seed) if is_key(leaf) else leaf, state.rule)
        direction, after = balancer.update(jnp.asarray(JACOBIAN), state._replace(rule=rule), params)
        return direction, after.weights

    return jax.vmap(one)(jnp.arange(NUMBER))


def gradvac(orders, phi, beta=0.5):
    rows, phi = JACOBIAN.astype(np.float64), phi.copy()
    total = np.zeros(3)
    for i, order in enumerate(orders):
        g = rows[i].copy()
        for j in order:
            c = g @ rows[j] / np.linalg.norm(g) / np.linalg.norm(rows[j])
            if c < phi[i, j]:
                lift = phi[i, j] * np.sqrt(1 - c**2) - c * np.sqrt(1 - phi[i, j] ** 2)
                g = g + np.linalg.norm(g) * lift / np.linalg.norm(rows[j]) / np.sqrt(1 - phi[i, j] ** 2) * rows[j]
            phi[i, j] = (1 - beta) * phi[i, j] + beta * c
        total += g
    return total, phi


def test_gradvac_gives_each_order_as_often_as_the_definition():
    others = [list(itertools.permutations(o)) for o in ((1, 2), (0, 2), (0, 1))]
    outcomes = np.array([gradvac(orders, np.zeros((3, 3)))[0] for orders in itertools.product(*others)])
    found, _ = draws("gradvac")
    distance = np.linalg.norm(found[:, None] - outcomes[None], axis=2)
    assert distance.min(axis=1).max() < 1e-5
    np.testing.assert_array_less(np.abs(found.mean(0) - outcomes.mean(0)), 5 * outcomes.std(0) / np.sqrt(NUMBER) + 1e-5)


def test_gradvac_of_two_tasks_follows_the_paper_step_by_step():
    balancer, params = mtl.gradvac(2, beta=0.3), jnp.zeros(3)
    state, phi = balancer.init(params), np.zeros((2, 2))
    step = jax.jit(balancer.update)
    for k in range(5):
        rows = np.random.default_rng(k).normal(size=(2, 3))
        total = np.zeros(3)
        for i, j in ((0, 1), (1, 0)):
            sizes = np.linalg.norm(rows, axis=1)
            c = rows[i] @ rows[j] / sizes.prod()
            lift = phi[i, j] * np.sqrt(1 - c**2) - c * np.sqrt(1 - phi[i, j] ** 2)
            total += rows[i] + (c < phi[i, j]) * sizes[i] * lift / sizes[j] / np.sqrt(1 - phi[i, j] ** 2) * rows[j]
            phi[i, j] = 0.7 * phi[i, j] + 0.3 * c
        found, state = step(jnp.asarray(rows, jnp.float32), state, params)
        np.testing.assert_allclose(found, total, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(state.rule.targets, phi, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("leak", [0.0, 0.25])
def test_graddrop_keeps_each_sign_as_often_as_its_purity(leak):
    found, kept = draws("graddrop", leak=leak)
    purity = 0.5 * (1 + JACOBIAN.sum(0) / np.abs(JACOBIAN).sum(0))
    ahead, behind = np.maximum(JACOBIAN, 0).sum(0), np.minimum(JACOBIAN, 0).sum(0)
    rest = leak * JACOBIAN.sum(0)
    outcomes = rest + (1 - leak) * np.stack([ahead, behind])
    assert np.minimum(np.abs(found - outcomes[0]), np.abs(found - outcomes[1])).max() < 1e-5
    share = (np.abs(found - outcomes[0]) < 1e-4).mean(0)
    np.testing.assert_allclose(share, purity, atol=5 * 0.5 / np.sqrt(NUMBER))
    passing = leak + (1 - leak) * np.where(JACOBIAN > 0, purity, 1 - purity)
    np.testing.assert_allclose(kept.mean(0), passing.mean(1), atol=0.05)
    # Coordinates are drawn one by one, not together.
    chosen = np.abs(found - outcomes[0]) < 1e-4
    assert abs(np.corrcoef(chosen[:, 0], chosen[:, 1])[0, 1]) < 5 / np.sqrt(NUMBER)


@pytest.mark.parametrize("method", ["random_weighting", "random_direction"])
def test_random_weights_are_the_softmax_of_normal_numbers(method):
    _, weights = draws(method)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    apart = np.log(weights[:, 1:]) - np.log(weights[:, :1])  # differences of normal numbers: variance 2, covariance 1
    np.testing.assert_allclose(apart.mean(0), 0, atol=5 * np.sqrt(2 / NUMBER))
    np.testing.assert_allclose(np.cov(apart.T), [[2, 1], [1, 2]], atol=0.35)


@pytest.mark.parametrize("method", ["pcgrad", "gradvac", "graddrop", "random_weighting", "random_direction"])
def test_a_seed_repeats_and_the_key_moves_on(method):
    params, jacobian = jnp.zeros(3), jnp.asarray(JACOBIAN)
    step = jax.jit(getattr(mtl, method)(3).update)

    def run(seed, steps=6):
        state = getattr(mtl, method)(3, seed=seed).init(params)
        found = []
        for _ in range(steps):
            direction, state = step(jacobian, state, params)
            found.append(direction)
        return np.stack(found)

    assert len(np.unique(run(0), axis=0)) > 1
    np.testing.assert_array_equal(run(0), run(0))
    assert not np.array_equal(run(0), run(1))


def test_graddrop_draws_the_same_for_a_split_axis():
    rows = np.random.default_rng(0).normal(size=(2, 8, 5)).astype(np.float32)
    balancer, params = mtl.graddrop(2), jnp.zeros((8, 5))
    state = balancer.init(params)
    whole, after = jax.jit(balancer.update)(rows, state, params)

    def part(rows):
        return balancer.direct(rows, state, jnp.zeros(rows.shape[1:]), axis_name="data")

    split = jax.jit(jax.vmap(part, in_axes=1, out_axes=(0, None), axis_name="data"))
    found, kept = split(rows.reshape(2, 4, 2, 5))
    np.testing.assert_allclose(found.reshape(8, 5), whole, rtol=1e-6)
    np.testing.assert_allclose(kept.weights, after.weights, rtol=1e-5)
