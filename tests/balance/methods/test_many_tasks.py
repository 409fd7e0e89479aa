"""Many tasks, gradients at features, and the way of accelerators."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax.balance import branches
from mtljax.balance.solvers import sorting_network
from tests.balance.methods.table import KINDS, METHODS, make


@pytest.mark.parametrize("number", [2, 5, 40, 41, 100])
def test_sorts_any_number_of_rows(number):
    rows = np.random.default_rng(number).normal(size=(number, 3)).astype(np.float32)
    np.testing.assert_array_equal(np.stack(sorting_network.sorted_rows(rows)), np.sort(rows, axis=0))


def test_graddrop_of_a_hundred_tasks():
    rows = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    balancer, params = mtl.graddrop(100), jnp.zeros(4)
    found, _ = balancer.update(jnp.asarray(rows), balancer.init(params), params)
    outcomes = np.stack([np.maximum(rows, 0).sum(0), np.minimum(rows, 0).sum(0)])
    assert np.abs(outcomes - np.asarray(found)).min(axis=0).max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_many_tasks_in_eight_parameters(method):
    """As many as are looked at in another way than few."""
    rows, losses = np.random.default_rng(0).normal(size=(41, 8)).astype(np.float32), jnp.ones(41)
    balancer, params = make(method, 41), jnp.zeros(8)
    state = balancer.init(params)
    update = jax.jit(balancer.update).lower(rows, state, params, losses=losses).compile()
    if method == "upgrad":
        return  # so many quadratic programs of so many numbers take long here
    for _ in range(2):
        found, state = update(rows, state, params, losses=losses)
        assert jnp.isfinite(found).all()
        assert jnp.isfinite(state.weights).all()
        assert state.present.all()


QUICK = ("constant", "graddrop", "mgda", "trimmed_mean")
SOLVING = ("config", "fairgrad", "krum", "upgrad")


@pytest.mark.parametrize(
    "method", [m if m in QUICK else pytest.param(m, marks=pytest.mark.slow) for m in (*KINDS, *SOLVING)]
)
def test_the_way_of_accelerators_gives_the_same(method, monkeypatch):
    rows = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32) * np.array([[1], [0.1], [3]], np.float32)
    losses, params = jnp.array([1.0, 2.0, 0.5]), jnp.zeros(8)
    bad = np.where(np.arange(3)[:, None] == 1, np.nan, rows)

    def directions():
        balancer = make(method, 3)
        state, update = balancer.init(params), jax.jit(balancer.update)
        return [update(jnp.asarray(given), state, params, losses=losses)[0] for given in (rows, bad)]

    here = directions()
    monkeypatch.setattr(branches, "_backend", lambda: "gpu")
    assert not branches.branches_pay()
    for found, expected in zip(directions(), here, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


FEATURES = np.array([[1.0, -2.0, 0.0], [-1.0, 3.0, 0.0]], np.float32)  # two examples
AT_FEATURES = np.array(
    [[[1.0, 1.0, 5.0], [-2.0, 2.0, 1.0]], [[-1.0, 3.0, -1.0], [-0.5, 1.0, 2.0]]], np.float32
)  # signed sums: 3, 1, 0 of the first task, -0.5, -2, 0 of the second


def drawn(**more):
    """Directions of many keys at the features."""
    balancer = mtl.graddrop(2)
    state = balancer.init(jnp.asarray(FEATURES))

    def one(seed):
        keyed = state._replace(rule=jax.random.key(seed))
        return balancer.direct(jnp.asarray(AT_FEATURES), keyed, jnp.asarray(FEATURES), features=True, **more)[0]

    return np.asarray(jax.jit(jax.vmap(one))(jnp.arange(2000)))


def test_graddrop_at_features_draws_for_the_batch_by_the_sign_of_features():
    found = drawn()
    for feature, first in ((0, 3 / 3.5), (1, 1 / 3)):  # purity: the first task's sum is ahead
        of_first = (found[:, :, feature] == AT_FEATURES[0, :, feature]).all(axis=1)
        of_second = (found[:, :, feature] == AT_FEATURES[1, :, feature]).all(axis=1)
        assert (of_first ^ of_second).all()  # one task passes, for both examples
        assert of_first.mean() == pytest.approx(first, abs=5 * 0.5 / np.sqrt(2000))
    np.testing.assert_allclose(found[:, :, 2], np.tile(AT_FEATURES[:, :, 2].sum(0), (2000, 1)))  # no sign: both pass


def test_graddrop_at_features_of_a_batch_on_two_devices_is_that_of_the_whole():
    balancer = mtl.graddrop(2)
    state = balancer.init(jnp.asarray(FEATURES))
    direct = jax.jit(functools.partial(balancer.direct, features=True))
    whole, after = direct(AT_FEATURES, state, FEATURES)

    def part(rows, features):
        return balancer.direct(rows, state, features, axis_name="data", features=True)

    split = jax.jit(jax.vmap(part, in_axes=(1, 0), out_axes=(0, None), axis_name="data"))
    found, kept = split(AT_FEATURES.reshape(2, 2, 1, 3), FEATURES.reshape(2, 1, 3))
    np.testing.assert_allclose(found.reshape(2, 3), whole)
    np.testing.assert_allclose(kept.weights, after.weights)
