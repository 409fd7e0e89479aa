"""Properties that every balancer has, from one table (`table.py`)."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.balance.methods.table import KINDS, METHODS, is_key, made, make

methods = pytest.mark.parametrize("method", METHODS)
kinds = pytest.mark.parametrize("method", KINDS)
PER_TASK = [name for name, method in METHODS.items() if method.per_task]
T, P = 3, 8
LOSSES = np.array([1.0, 2.0, 0.5], np.float32)


def jacobian_of(rows=T, width=P, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def direction(method, jacobian, losses=None, present=None, state=None):
    num_tasks = len(jacobian)
    balancer, update = made(method, num_tasks)
    params = np.zeros(jacobian.shape[1], jacobian.dtype)
    losses = np.resize(LOSSES, num_tasks) if losses is None else losses
    present = np.ones(num_tasks, bool) if present is None else present
    state = balancer.init(params) if state is None else state
    return update(jacobian, state, params, losses=losses, present=present)


@pytest.mark.slow
@pytest.mark.parametrize("method", [method for method in METHODS if method not in (*PER_TASK, "forum", "moml")])
def test_jit_equals_eager(method):
    """Of the others, what is compiled is compared with a step by hand where a task is absent, or in test_bilevel.py."""
    a, _ = direction(method, jacobian_of())
    balancer, params = make(method, T), jnp.zeros(P)
    with jax.disable_jit():
        b, _ = balancer.update(jnp.asarray(jacobian_of()), balancer.init(params), params, losses=jnp.asarray(LOSSES))
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@kinds
def test_vmap(method):
    balancer = make(method, T)
    batch = jnp.stack([jacobian_of(seed=s) for s in range(3)])
    params = jnp.zeros(P)
    state = balancer.init(params)
    together, _ = jax.jit(jax.vmap(lambda j: balancer.update(j, state, params, losses=LOSSES)))(batch)
    alone = [direction(method, j)[0] for j in batch]
    np.testing.assert_allclose(together, jnp.stack(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@methods
def test_bfloat16_parameters_keep_their_dtype_and_use_a_float32_gramian(method):
    rounded = jnp.asarray(jacobian_of(), jnp.bfloat16)
    low, state = direction(method, rounded)
    high, expected = direction(method, np.asarray(rounded.astype(jnp.float32)))
    assert low.dtype == jnp.bfloat16
    # One that looks ahead takes its steps in bfloat16.
    rtol = 1e-3 if method in ("auto_lambda", "forum", "moml") else 1e-4
    np.testing.assert_allclose(state.weights, expected.weights, rtol=rtol, atol=1e-6)
    np.testing.assert_allclose(low.astype(jnp.float32), high, rtol=0.02, atol=0.02)


def wide(rows):
    """Rows padded with zeros to the width of all other tests, so that they share a compilation."""
    rows = np.array(rows, np.float32)
    return np.pad(rows, ((0, 0), (0, P - rows.shape[1])))


BAD = {
    "zero row": wide([[1, 2], [0, 0], [-1, 1]]),
    "all zeros": np.zeros((3, P), np.float32),
    "equal rows": wide([[1, 2], [1, 2], [-1, 1]]),
    "opposite rows": wide([[1, 2], [-1, -2], [1, 2]]),
    "zero in the hull": wide([[1, 0], [-1, 1], [0, -1]]),
    "scales": wide([[1e-20, 0], [-1e20, 1e20], [1, 1]]),
    "large": wide([[3e8, 1e8], [1e8, 2e8], [-1e8, 2e8]]),
    "nearly equal rows": wide([[1, 1], [1, 1 + 1e-6], [1, 1 - 1e-6]]),
    "one task": jacobian_of(1),
}


@methods
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow if len(BAD[case]) != T else ()) for case in BAD]
)
def test_bad_jacobians_give_a_finite_direction(method, case):
    found, state = direction(method, BAD[case])
    assert jnp.isfinite(found).all()
    assert jnp.isfinite(state.weights).all()
    assert (
        (found != 0).any()
        or case in ("all zeros", "opposite rows", "zero in the hull", "zero row")
        or method == "config"
    )
    for _ in range(2):
        found, state = direction(method, BAD[case], state=state)
    assert jnp.isfinite(found).all()


@methods
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_is_not_finite_is_flagged_and_left_out(method, bad):
    broken = jacobian_of()
    broken[1] = bad
    found, state = direction(method, broken, losses=np.array([1.0, 3.0, 2.0], np.float32))
    assert state.present.tolist() == [True, False, True]
    assert state.weights[1] == 0
    assert jnp.isfinite(found).all()
    if METHODS[method].per_task:
        wanted, _ = direction(
            method, jacobian_of(), np.array([1.0, 3.0, 2.0], np.float32), np.array([True, False, True])
        )
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@methods
def test_a_loss_that_is_not_finite_leaves_its_task_out(method):
    found, state = direction(method, jacobian_of(), losses=np.array([1.0, np.nan, 1.0], np.float32))
    assert state.present.tolist() == [True, False, True]
    assert jnp.isfinite(found).all()
    assert state.weights[1] == 0


def without_the_second(method):
    away = jacobian_of()
    away[1] = 0
    return direction(method, away, np.array([1, 0, 2], np.float32), np.array([True, False, True]))


# The others take long step by step; of most of them test_golden.py tries directions among absent tasks.
ALONE = ("constant", "db_mtl", "equal", "geometric_mean", "gradnorm", "pcgrad")


@pytest.mark.parametrize(
    "method", [pytest.param(method, marks=() if method in ALONE else pytest.mark.slow) for method in PER_TASK]
)
def test_without_a_task_the_direction_is_that_of_a_balancer_of_the_others(method):
    balancer, params = make(method, 2), jnp.zeros(P)
    jacobian, losses = jnp.asarray(jacobian_of()[[0, 2]]), jnp.array([1.0, 2.0])
    wanted = jax.jit(lambda: balancer.update(jacobian, balancer.init(params), params, losses=losses)[0])()
    found, _ = without_the_second(method)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@methods
def test_an_absent_task_has_no_part_and_comes_back(method):
    jacobian = jacobian_of()
    _, state = without_the_second(method)
    assert state.weights[1] == 0
    for _ in range(3):
        found, state = direction(method, jacobian, state=state)
    assert state.present.all()
    assert jnp.isfinite(found).all()


@methods
def test_reordering_the_tasks_reorders_the_weights(method):
    if not METHODS[method].permutes:
        pytest.skip("random, or with a task that comes first")
    order = np.array([2, 0, 1])
    one, first = direction(method, jacobian_of())
    two, second = direction(method, jacobian_of()[order], LOSSES[order])
    np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(second.weights, first.weights[order], rtol=1e-4, atol=1e-5)


@methods
def test_scaling_all_gradients_scales_the_direction_by_its_degree(method):
    degree = METHODS[method].degree
    if degree is None:
        pytest.skip("rates of its own: no power of the scale")
    for scale in (1e-4, 1e3):
        found, _ = direction(method, scale * jacobian_of())
        expected, _ = direction(method, jacobian_of())
        np.testing.assert_allclose(found / scale**degree, expected, rtol=1e-3, atol=1e-5)


@methods
def test_no_conflict(method):
    if not METHODS[method].never_conflicts:
        pytest.skip("may conflict")
    for seed in range(20):
        jacobian = jacobian_of(seed=seed) * np.array([[0.1], [1.0], [10.0]], np.float32)
        found, _ = direction(method, jacobian)
        cosines = jacobian @ found / np.linalg.norm(jacobian, axis=1) / np.linalg.norm(found)
        assert cosines.min() > -1e-4


@pytest.mark.slow
@kinds
def test_in_a_chain_and_in_a_partition_private_leaves_keep_their_own_gradient(method):
    params = {"encoder": jnp.zeros(P), "head": jnp.zeros(2)}
    jacobian = {"encoder": jnp.asarray(jacobian_of()), "head": jnp.ones(2)}
    expected, _ = direction(method, jacobian["encoder"])
    labels = {"encoder": "shared", "head": "head"}
    inside = {"shared": optax.chain(make(method, T), optax.sgd(1.0)), "head": optax.sgd(0.1)}
    parted_alone = optax.partition(inside, labels)
    whole = optax.chain(make(method, T), optax.partition({"shared": optax.sgd(1.0), "head": optax.sgd(0.1)}, labels))

    @jax.jit
    def both():
        first, _ = parted_alone.update(jacobian, parted_alone.init(params), params, losses=LOSSES)
        second, _ = whole.update(jacobian, whole.init(params), params, losses=LOSSES)
        return first, second

    for updates in both():
        np.testing.assert_allclose(updates["encoder"], -expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(updates["head"], [-0.1, -0.1], rtol=1e-6)


@pytest.mark.parametrize("method", ["equal", "graddrop"])
def test_a_private_leaf_that_is_not_finite_is_told(method):
    params = {"shared": jnp.zeros(P), "head": jnp.zeros(2), "other": jnp.zeros(2)}
    jacobian = {"shared": jnp.asarray(jacobian_of()), "head": jnp.array([1.0, jnp.nan]), "other": jnp.ones(2)}
    owners = {"shared": (0, 1, 2), "head": (1,), "other": (0,)}
    balancer, update = made(method, T)
    state = balancer.init(params)
    # Whose it is, is not known: it stays, for the update to be skipped.
    found, after = update(jacobian, state, params, losses=LOSSES)
    assert after.present.all()
    assert jnp.isnan(found["head"]).any()
    # A loss that is not finite tells of it.
    found, after = update(jacobian, state, params, losses=np.array([1.0, np.nan, 1.0], np.float32))
    assert after.present.tolist() == [True, False, True]
    np.testing.assert_array_equal(found["head"], [0, 0])
    # With owners, its task is left out of the step.
    found, after = balancer.update(jacobian, state, params, losses=LOSSES, owners=owners)
    assert after.present.tolist() == [True, False, True]
    assert after.weights[1] == 0
    assert all(jnp.isfinite(leaf).all() for leaf in found.values())
    np.testing.assert_array_equal(found["head"], [0, 0])


@pytest.mark.slow
@kinds
def test_one_device_or_eight(method):
    jacobian = jacobian_of()
    mesh = jax.make_mesh((8,), ("fsdp",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "fsdp"))
    balancer, _ = made(method, T)
    params = jnp.zeros(P)
    state = balancer.init(params)
    one, _ = direction(method, jacobian)
    spread, _ = jax.jit(balancer.update)(jax.device_put(jacobian, split), state, params, losses=LOSSES)
    np.testing.assert_allclose(spread, one, rtol=1e-4, atol=1e-5)


def test_states_come_back_from_a_checkpoint_as_they_were(tmp_path):
    from orbax.checkpoint import v1 as ocp

    states = {method: direction(method, jacobian_of())[1] for method in METHODS}
    with ocp.training.Checkpointer(tmp_path) as checkpointer:
        checkpointer.save_checkpointables(0, {"states": states})
        back = checkpointer.load_checkpointables(0, {"states": states})["states"]
    assert jax.tree.map(described, back) == jax.tree.map(described, states)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(numbers(a), numbers(b)), back, states)


def described(leaf):
    return leaf.shape, str(leaf.dtype)


def numbers(leaf):
    return jax.random.key_data(leaf) if is_key(leaf) else leaf


@methods
def test_a_state_keeps_its_shapes_and_dtypes(method):
    balancer, _ = made(method, T)
    _, state = direction(method, jacobian_of())
    assert jax.tree.map(described, balancer.init(jnp.zeros(P))) == jax.tree.map(described, state)
