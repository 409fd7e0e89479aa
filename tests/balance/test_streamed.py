"""The Gramian of rows that are looked at leaf by leaf, beside that of the whole Jacobian; and what it costs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax.balance import gramian
from mtljax.balance.gramian import RunningGramian


def gramian_in_turn(leaves, num_tasks, axis_name=None):
    return functools.reduce(RunningGramian.plus, leaves, RunningGramian.of_none(num_tasks)).gramian(axis_name)


def rows(scales, seed=0):
    rng = np.random.default_rng(seed)
    drawn = [rng.normal(size=(3, n)) * np.asarray(scale)[:, None] for n, scale in scales]
    return [jnp.asarray(leaf.astype(np.float32)) for leaf in drawn]


@jax.jit
def both_ways(leaves):
    return gramian_in_turn(iter(leaves), 3), gramian(leaves, [jnp.zeros(leaf.shape[1:]) for leaf in leaves], 3)


@pytest.mark.parametrize(
    "scales",
    [
        [(7, (1, 1, 1)), (300, (1, 1, 1))],
        [(7, (1e-30, 1, 1e30)), (300, (1e-30, 1, 1e30))],
        [(7, (1e30, 1e-30, 1)), (1, (1, 1, 1)), (300, (1e-38, 1e30, 1e-10))],
        [(7, (0, 1, 1)), (300, (1, 0, 1))],
        [(7, (0, 1e20, 1)), (300, (0, 1, 1e-20))],
        [(7, (1, 1, 1)), (200_001, (1e-30, 1, 1e30))],
    ],
    ids=["alike", "far apart", "growing", "parts of zero", "a row of zeros", "in pieces and one column"],
)
def test_leaf_by_leaf_gives_the_gramian_of_all_leaves_at_once(scales):
    leaves = rows(scales)
    found, whole = both_ways(leaves)
    exact = np.concatenate([np.asarray(leaf, np.float64) for leaf in leaves], axis=1)
    norms = np.linalg.norm(exact, axis=1)
    unit = exact / np.where(norms > 0, norms, 1)[:, None]
    np.testing.assert_allclose(found.norms, whole.norms, rtol=1e-5)
    np.testing.assert_allclose(found.norms, norms, rtol=1e-5, atol=1e-44)
    np.testing.assert_allclose(found.cosines, whole.cosines, atol=1e-6)
    np.testing.assert_allclose(found.cosines, unit @ unit.T, atol=1e-6)


def test_scaling_does_not_copy_all_rows_at_once():
    leaves = [jnp.ones(2**18) for _ in range(8)]
    look = jax.jit(lambda leaves: gramian_in_turn([leaves], 8)).lower(leaves).compile()
    assert look.memory_analysis().temp_size_in_bytes < sum(leaf.nbytes for leaf in leaves) / 4


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_is_not_finite_is_known_by_its_norm_and_spoils_no_other(bad):
    leaves = rows([(7, (1, 1, 1)), (5, (1, 1, 1))])
    leaves[0] = leaves[0].at[1, 2].set(bad)
    in_turn = jax.jit(gramian_in_turn, static_argnums=1)
    found = in_turn(leaves, 3)
    np.testing.assert_array_equal(np.isfinite(found.norms), [True, False, True])
    np.testing.assert_array_equal(found.cosines[1], 0)
    kept = in_turn([np.delete(leaf, 1, axis=0) for leaf in leaves], 2)
    np.testing.assert_allclose(found.cosines[0, 2], kept.cosines[0, 1], atol=1e-6)


def test_a_row_that_is_no_number_on_one_device_is_none_on_any():
    leaf = rows([(8, (1, 1, 1))])[0].at[1, 5].set(jnp.nan)
    split = jax.pmap(lambda part: gramian_in_turn([part], 3, "data"), axis_name="data", in_axes=1)
    norms = split(leaf[:, :, None]).norms
    np.testing.assert_array_equal(np.isfinite(norms), [[True, False, True]] * 8)


@pytest.mark.slow
def test_parts_of_rows_on_many_devices_give_the_whole():
    leaves = rows([(8, (1e-30, 1, 1e30)), (16, (1, 1e20, 1e-20))])
    split = jax.pmap(lambda *parts: gramian_in_turn(parts, 3, "data"), axis_name="data", in_axes=1)
    found, whole = split(*(leaf.reshape(3, 8, -1) for leaf in leaves)), gramian_in_turn(leaves, 3)
    np.testing.assert_allclose(found.norms[3], whole.norms, rtol=1e-5)
    np.testing.assert_allclose(found.cosines[5], whole.cosines, atol=1e-6)


LAYERS, WIDTH, TASKS = 5, 128, 6
LEAST = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}  # as accelerators' compilers do


def network():
    keys = jax.random.split(jax.random.key(0), LAYERS + TASKS)
    params = {f"layer{i}": jax.random.normal(keys[i], (WIDTH, WIDTH)) / WIDTH**0.5 for i in range(LAYERS)}
    return params | {f"head{t}": jax.random.normal(keys[LAYERS + t], (WIDTH,)) / WIDTH**0.5 for t in range(TASKS)}


def losses_fn(params, x):
    for i in range(LAYERS):
        x = jnp.tanh(x @ params[f"layer{i}"])
    return tuple(jnp.mean((x @ params[f"head{t}"] - t) ** 2) for t in range(TASKS))


def held(balancer, params, x):
    losses, jacobian = mtl.value_and_jacobian(losses_fn)(params, x)
    return balancer.update(jacobian, balancer.init(params), params, losses=losses)[0]


def streamed(balancer, params, x):
    losses, at = mtl.linearize(losses_fn)(params, x)
    weights, _ = balancer.weigh(balancer.init(params), losses=losses, gramian=at.gramian())
    return at.weighted(weights)


def test_a_loop_of_ones_own_gets_the_same_direction_and_holds_no_jacobian():
    params, x, balancer = network(), jax.random.normal(jax.random.key(1), (16, WIDTH)), mtl.imtl_g(TASKS)
    ways = [jax.jit(functools.partial(way, balancer)).lower(params, x).compile(LEAST) for way in (held, streamed)]
    expected, found = (way(params, x) for way in ways)
    for name in params:  # heads too, whose gradients are not weighted
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5 * float(jnp.abs(expected[name]).max()))
    one, largest = sum(leaf.nbytes for leaf in params.values()), params["layer0"].nbytes
    temporary = [way.memory_analysis().temp_size_in_bytes for way in ways]
    assert temporary[1] < one + TASKS * largest
    assert temporary[1] < temporary[0] / 3
