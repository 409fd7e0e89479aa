import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mtljax as mtl

JACOBIAN = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
LOSSES = jnp.array([1.0, 2.0, 0.5])
PARAMS = jnp.zeros(6)


def run(balancer, jacobian=JACOBIAN, steps=1):
    state = balancer.init(PARAMS)
    step = jax.jit(balancer.update)
    for _ in range(steps):
        found, state = step(jnp.asarray(jacobian), state, PARAMS, losses=LOSSES)
    return found, state


def test_weighs_the_rows_then_combines():
    weights = np.array([2.0, 0.5, 3.0], np.float32)
    for second in (mtl.pcgrad(3), mtl.graddrop(3)):  # of the Gramian, and of every element
        found, _ = run(mtl.compose(mtl.constant(3, weights=tuple(weights.tolist())), second))
        expected, _ = run(second, weights[:, None] * JACOBIAN)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_imtl_is_imtl_l_then_imtl_g():
    optimizer = optax.sgd(0.1)
    found, _ = run(mtl.imtl(3, optimizer=optimizer), steps=5)
    scales = np.zeros(3)
    for _ in range(4):
        scales -= 0.1 * (np.exp(scales) * np.asarray(LOSSES) - 1)
    expected, _ = run(mtl.imtl_g(3), np.exp(scales)[:, None].astype(np.float32) * JACOBIAN)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_looks_at_what_any_of_them_looks_at():
    assert mtl.compose(mtl.uncertainty(2), mtl.dwa(2)).sees == "losses"
    assert mtl.compose(mtl.gradnorm(2), mtl.equal(2)).sees == "gramian"
    graddrop = mtl.compose(mtl.gradnorm(2), mtl.imtl_l(2), mtl.graddrop(2))
    assert graddrop.sees == "jacobian"
    assert graddrop.measures == ("shared", "features")
    assert mtl.compose(mtl.equal(2), mtl.modo(2)).samples == 3


def test_private_leaves_feel_loss_weights_where_their_owners_are_known():
    params = {"shared": PARAMS, "head": jnp.zeros(2)}
    jacobian = {"shared": jnp.asarray(JACOBIAN), "head": jnp.ones(2)}
    owners = {"shared": (0, 1, 2), "head": (1,)}
    weighted = mtl.constant(3, weights=(2.0, 0.5, 3.0))
    for balancer in (weighted, mtl.compose(weighted, mtl.imtl_g(3)), mtl.compose(weighted, mtl.graddrop(3))):

        @jax.jit
        def both(state, balancer=balancer):
            given = (jacobian, state, params)
            return [balancer.update(*given, losses=LOSSES, **more)[0] for more in ({"owners": owners}, {})]

        found, without = both(balancer.init(params))
        np.testing.assert_allclose(found["head"], [0.5, 0.5])
        np.testing.assert_allclose(without["head"], [1.0, 1.0])
    alone = mtl.imtl_g(3)
    found, _ = jax.jit(lambda state: alone.update(jacobian, state, params, owners=owners))(alone.init(params))
    np.testing.assert_allclose(found["head"], [1.0, 1.0])


def test_averaged_weights_of_a_loss_weighting_reach_private_leaves_as_its_own_do():
    """Over one step, of which the mean is the step, and over three, of which it lags."""
    params = {"a": jnp.zeros(2), "b": jnp.zeros(3), "c": jnp.zeros(2)}
    jacobian = {"a": jnp.ones(2), "b": jnp.ones(3), "c": jnp.asarray(JACOBIAN[:2, :2])}
    owners = {"a": (0,), "b": (1,), "c": ()}
    base = mtl.imtl(2, optimizer=optax.sgd(0.5))
    averaged = mtl.cr_mogm(2, base, alpha=0.75)
    found = []
    for balancer in (base, averaged):
        state, each = balancer.init(params), []
        for _ in range(3):
            direction, state = balancer.update(jacobian, state, params, losses=jnp.array([0.5, 4.0]), owners=owners)
            each.append([float(direction["a"][0]), float(direction["b"][0])])
        found.append(np.array(each))
    own, mean = found
    assert abs(own[2] - own[0]).min() > 0.1
    expected = own[0]
    for step in range(3):
        expected = 0.75 * expected + 0.25 * own[step]
        np.testing.assert_allclose(mean[step], expected, rtol=1e-5)


def test_misuse_is_told():
    with pytest.raises(ValueError, match="balancers of 2 and of 3 tasks"):
        mtl.compose(mtl.equal(2), mtl.pcgrad(3))
    with pytest.raises(ValueError, match=r"takes balancers such as mtl.pcgrad"):
        mtl.compose(mtl.equal(2), optax.sgd(0.1))
