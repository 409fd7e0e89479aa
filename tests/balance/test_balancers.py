"""Properties that every balancer has, from one table; a new method is admitted by adding a row."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax.experimental import aggregating

import mtljax as mtl

METHODS = {"equal": mtl.equal, "pcgrad": mtl.pcgrad, "gradnorm": mtl.gradnorm}
methods = pytest.mark.parametrize("method", METHODS)
T, P = 3, 7


def jacobian_of(rows=T, width=P, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


@functools.cache
def made(method, num_tasks):
    """A balancer and its jitted update, compiled once for all tests of the same shapes."""
    balancer = METHODS[method](num_tasks)
    return balancer, jax.jit(balancer.update)


def direction(method, jacobian, losses=None, present=None, state=None):
    num_tasks = len(jacobian)
    balancer, update = made(method, num_tasks)
    params = np.zeros(jacobian.shape[1], jacobian.dtype)
    losses = np.ones(num_tasks, np.float32) if losses is None else losses
    present = np.ones(num_tasks, bool) if present is None else present
    state = balancer.init(params) if state is None else state
    return update(jacobian, state, params, losses=losses, present=present)


@methods
def test_is_an_optax_aggregator(method):
    assert isinstance(METHODS[method](2), aggregating.Aggregator)


@methods
def test_jit_equals_eager(method):
    a, _ = direction(method, jacobian_of())
    balancer, params = METHODS[method](T), jnp.zeros(P)
    with jax.disable_jit():
        b, _ = balancer.update(jnp.asarray(jacobian_of()), balancer.init(params), params, losses=jnp.ones(T))
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@methods
def test_vmap(method):
    balancer = METHODS[method](T)
    batch = jnp.stack([jacobian_of(seed=s) for s in range(3)])
    params = jnp.zeros(P)
    state = balancer.init(params)
    together, _ = jax.jit(jax.vmap(lambda j: balancer.update(j, state, params, losses=jnp.ones(T))))(batch)
    alone = [direction(method, j)[0] for j in batch]
    np.testing.assert_allclose(together, jnp.stack(alone), rtol=1e-5, atol=1e-6)


@methods
def test_bfloat16_parameters_keep_their_dtype_and_use_a_float32_gramian(method):
    rounded = jnp.asarray(jacobian_of(width=300), jnp.bfloat16)
    low, state = direction(method, rounded)
    high, expected = direction(method, rounded.astype(jnp.float32))
    assert low.dtype == jnp.bfloat16
    np.testing.assert_allclose(state.weights, expected.weights, rtol=1e-5)
    np.testing.assert_allclose(low.astype(jnp.float32), high, rtol=0.02, atol=0.02)


BAD = {
    "zero row": np.array([[1, 2], [0, 0], [-1, 1]], np.float32),
    "all zeros": np.zeros((3, 2), np.float32),
    "equal rows": np.array([[1, 2], [1, 2], [-1, 1]], np.float32),
    "opposite rows": np.array([[1, 2], [-1, -2]], np.float32),
    "scales": np.array([[1e-20, 0], [-1e20, 1e20], [1, 1]], np.float32),
    "one task": np.array([[1, 2]], np.float32),
    "64 tasks": jacobian_of(64, 5),
    "fewer parameters than tasks": jacobian_of(5, 2),
}


@methods
@pytest.mark.parametrize("case", BAD)
def test_bad_jacobians_give_a_finite_direction(method, case):
    found, state = direction(method, BAD[case])
    assert jnp.isfinite(found).all()
    assert jnp.isfinite(state.weights).all()
    again, _ = direction(method, BAD[case], state=state)
    assert jnp.isfinite(again).all()


@methods
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_is_not_finite_is_flagged_and_left_out(method, bad):
    jacobian = jacobian_of(2)
    broken = np.insert(jacobian, 1, np.full(P, bad), axis=0)
    found, state = direction(method, broken)
    assert state.present.tolist() == [True, False, True]
    assert state.weights[1] == 0
    assert jnp.isfinite(found).all()
    if method != "pcgrad":  # whose random orders depend on T; two rows leave one order, so weights agree below
        np.testing.assert_allclose(found, direction(method, jacobian)[0], rtol=1e-5)
    np.testing.assert_allclose(found, state.weights[jnp.array([0, 2])] @ jacobian, rtol=1e-5)


@methods
def test_a_loss_that_is_not_finite_leaves_its_task_out(method):
    found, state = direction(method, jacobian_of(), losses=np.array([1.0, np.nan, 1.0], np.float32))
    assert state.present.tolist() == [True, False, True]
    assert jnp.isfinite(found).all()
    assert state.weights[1] == 0


@methods
def test_an_absent_task_has_no_part(method):
    jacobian = jacobian_of()
    jacobian[1] = 0
    found, state = direction(
        method, jacobian, losses=np.array([1, 0, 1], np.float32), present=np.array([True, False, True])
    )
    without, _ = direction(method, jacobian[[0, 2]])
    assert state.weights[1] == 0
    np.testing.assert_allclose(found, without, rtol=1e-5, atol=1e-6)


@methods
def test_private_leaves_keep_their_own_gradient_unscaled(method):
    params = {"shared": jnp.zeros(P), "head": jnp.zeros((2, 2))}
    jacobian = {"shared": jnp.asarray(jacobian_of()), "head": jnp.full((2, 2), 5.0)}
    balancer, update = made(method, T)
    state = balancer.init(params)
    for _ in range(3):
        found, state = update(jacobian, state, params, losses=jnp.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(found["head"], jacobian["head"])
    np.testing.assert_allclose(found["shared"], state.weights @ jacobian_of(), rtol=1e-4, atol=1e-5)


@methods
def test_a_private_leaf_that_is_not_finite_becomes_zero(method):
    params = {"shared": jnp.zeros(P), "head": jnp.zeros(2)}
    jacobian = {"shared": jnp.asarray(jacobian_of()), "head": jnp.array([1.0, jnp.nan])}
    balancer, update = made(method, T)
    found, _ = update(jacobian, balancer.init(params), params, losses=jnp.ones(T))
    np.testing.assert_array_equal(found["head"], [0, 0])


@methods
def test_in_a_chain_and_in_a_partition(method):
    params = {"encoder": jnp.zeros(P), "head": jnp.zeros(2)}
    jacobian = {"encoder": jnp.asarray(jacobian_of()), "head": jnp.ones(2)}
    losses = jnp.ones(T)
    expected, _ = direction(method, jacobian["encoder"])
    chained = optax.chain(METHODS[method](T), optax.sgd(0.5))
    updates, _ = jax.jit(chained.update)(jacobian, chained.init(params), params, losses=losses)
    np.testing.assert_allclose(updates["encoder"], -0.5 * expected, rtol=1e-5, atol=1e-6)
    branches = {"shared": optax.chain(METHODS[method](T), optax.sgd(1.0)), "head": optax.sgd(0.1)}
    parted = optax.partition(branches, {"encoder": "shared", "head": "head"})
    updates, _ = jax.jit(parted.update)(jacobian, parted.init(params), params, losses=losses)
    np.testing.assert_allclose(updates["encoder"], -expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(updates["head"], [-0.1, -0.1], rtol=1e-6)


@methods
def test_one_device_or_eight(method):
    jacobian = jacobian_of(width=16)
    mesh = jax.make_mesh((8,), ("fsdp",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "fsdp"))
    balancer = METHODS[method](T)
    params = jnp.zeros(16)
    spread, _ = jax.jit(balancer.update)(
        jax.device_put(jacobian, split), balancer.init(params), params, losses=jnp.ones(T)
    )
    np.testing.assert_allclose(spread, direction(method, jacobian)[0], rtol=1e-5, atol=1e-6)


@methods
def test_misuse_is_told(method):
    balancer = METHODS[method](T)
    params = jnp.zeros(P)
    state = balancer.init(params)
    with pytest.raises(ValueError, match=r"shape \(2, 7\); expected \(3, 7\) where num_tasks=3"):
        balancer.update(jnp.ones((2, P)), state, params, losses=jnp.ones(T))
    with pytest.raises(ValueError, match=r"update\(jacobian, state, params"):
        balancer.update(jnp.ones((T, P)), state, losses=jnp.ones(T))
    with pytest.raises(ValueError, match="losses must have shape"):
        balancer.update(jnp.ones((T, P)), state, params, losses=jnp.ones(2))
    with pytest.raises(ValueError, match="structure of params"):
        balancer.update({"a": jnp.ones((T, P))}, state, params, losses=jnp.ones(T))
    for wrong in (0, -1, 1.5, True, "3"):
        with pytest.raises(ValueError, match="num_tasks must be a positive integer"):
            METHODS[method](wrong)
