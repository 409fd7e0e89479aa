"""Loops of one's own on several devices: `shard_map` with and without its checks, meshes of every kind."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import mtljax as mtl
from mtljax.balance.gramian import gramian

PARAMS = {"trunk": jnp.linspace(-1, 1, 32).reshape(8, 4), "a": jnp.ones(4), "b": jnp.array([1.0, -1.0, 2.0, 0.5])}
X = jnp.sin(jnp.arange(128.0)).reshape(16, 8)
AUTO, EXPLICIT = ((kind,) for kind in (AxisType.Auto, AxisType.Explicit))


def losses_fn(params, x):
    features = jnp.tanh(x @ params["trunk"])
    return tuple(jnp.mean((features @ params[task] - 1) ** 2) for task in ("a", "b"))


def mesh(axis_types=AUTO):
    return jax.make_mesh((8,), ("data",), axis_types=axis_types)


@functools.cache
def expected():
    return jax.jit(mtl.value_and_jacobian(losses_fn))(PARAMS, X)


def spread(function, check):
    return jax.jit(jax.shard_map(function, mesh=mesh(), in_specs=(P(), P("data")), out_specs=P(), check_vma=check))


def assert_equal(found, jacobian):
    """To rounding; heads are private in both."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), found, jacobian)


@pytest.mark.parametrize(("together", "recompute"), [(tuple, False), (jnp.stack, False), (tuple, True)])
def test_losses_of_each_device_have_their_derivative_in_shard_map(together, recompute):
    """Of what every device holds it arrives added up, as that of `jax.grad` does."""

    def read(params, x):
        def parts(params, x):
            return together([loss / 8 for loss in losses_fn(params, x)])

        losses, at = mtl.linearize(parts, recompute=recompute)(params, x)
        return jax.lax.psum(losses, "data"), at.jacobian(), at.gramian(), at.weighted(jnp.array([1.0, 2.0]))

    losses, jacobian, angles, weighted = spread(read, True)(PARAMS, X)
    np.testing.assert_allclose(losses, expected()[0], rtol=1e-6)
    assert_equal(jacobian, expected()[1])
    assert_equal(angles, gramian(expected()[1], PARAMS, 2))
    assert_equal(weighted["trunk"], expected()[1]["trunk"][0] + 2 * expected()[1]["trunk"][1])


@pytest.mark.parametrize("check", [True, False])
def test_losses_are_told_apart_through_a_mean_over_devices(check):
    def read(params, x):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            at = mtl.balance.linearize_at(lambda p: jax.lax.pmean(jnp.stack(losses_fn(p, x)), "data"), params)
        assert at.owners["a"].private
        assert not at.owners["trunk"].private
        found = at.jacobian()
        return found if check else jax.lax.pmean(found, "data")

    assert_equal(spread(read, check)(PARAMS, X), expected()[1])


def on(axis_types, split):
    def place(x, *axes):
        return jax.device_put(x, NamedSharding(mesh(axis_types), P(*axes)))

    return {key: place(x, *(["data"] if split and key == "trunk" else [])) for key, x in PARAMS.items()}


@pytest.mark.parametrize(("axis_types", "split"), [(AUTO, True), (EXPLICIT, False)])
def test_balancers_take_shardings_of_ones_own(axis_types, split):
    params, balancer = on(axis_types, split), mtl.mgda(2)

    @jax.jit
    def direction(params, x):
        losses, jacobian = mtl.value_and_jacobian(losses_fn)(params, x)
        return balancer.update(jacobian, balancer.init(params), params, losses=losses)[0]

    found = direction(params, jax.device_put(X, NamedSharding(mesh(axis_types), P("data"))))
    assert_equal(found, balancer.update(expected()[1], balancer.init(PARAMS), PARAMS)[0])


def test_what_is_split_over_explicit_axes_is_refused():
    """Of parameters, and of a Jacobian that was made otherwise."""
    params, balancer = on(EXPLICIT, True), mtl.equal(2)
    message = r"array of shape \(.*8, 4\) is split .* over explicit axes of a mesh.*AxisType.Auto"
    with pytest.raises(ValueError, match=message):
        jax.jit(mtl.linearize(losses_fn))(params, X)

    def direction(params):
        jacobian = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), params)
        return balancer.update(jacobian, balancer.init(params), params)[0]

    with pytest.raises(ValueError, match=message):
        jax.jit(direction)(params)
