"""Properties that every balancer has, from one table (`methods.py`)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax.experimental import aggregating

import mtljax as mtl
from tests.balance.methods import METHODS, exported, make

methods = pytest.mark.parametrize("method", METHODS)
T, P = 3, 8
LOSSES = np.array([1.0, 2.0, 0.5], np.float32)


def jacobian_of(rows=T, width=P, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


@functools.cache
def made(method, num_tasks):
    """A balancer and its jitted update, compiled once for all tests of the same shapes."""
    balancer = make(method, num_tasks)
    return balancer, jax.jit(balancer.update)


def direction(method, jacobian, losses=None, present=None, state=None):
    num_tasks = len(jacobian)
    balancer, update = made(method, num_tasks)
    params = np.zeros(jacobian.shape[1], jacobian.dtype)
    losses = np.resize(LOSSES, num_tasks) if losses is None else losses
    present = np.ones(num_tasks, bool) if present is None else present
    state = balancer.init(params) if state is None else state
    return update(jacobian, state, params, losses=losses, present=present)


def test_every_method_has_a_row():
    assert exported() == set(METHODS)


@methods
def test_lives_in_the_file_of_its_name(method):
    assert getattr(mtl, method).__module__ == f"mtljax.balance.methods.{method}"


@methods
def test_is_an_optax_aggregator(method):
    assert isinstance(make(method, 3), aggregating.Aggregator)


@pytest.mark.slow
@methods
def test_jit_equals_eager(method):
    a, _ = direction(method, jacobian_of())
    balancer, params = make(method, T), jnp.zeros(P)
    with jax.disable_jit():
        b, _ = balancer.update(jnp.asarray(jacobian_of()), balancer.init(params), params, losses=jnp.asarray(LOSSES))
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@methods
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
    np.testing.assert_allclose(state.weights, expected.weights, rtol=1e-4, atol=1e-6)
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
    "nearly equal rows": wide([[1, 1], [1, 1 + 1e-6], [1, 1 - 1e-6]]),
    "one task": jacobian_of(1),
    "64 tasks in 8 parameters": jacobian_of(64),
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
    jacobian = jacobian_of(2)
    broken = np.insert(jacobian, 1, np.full(P, bad), axis=0)
    found, state = direction(method, broken, losses=np.array([1.0, 3.0, 2.0], np.float32))
    assert state.present.tolist() == [True, False, True]
    assert state.weights[1] == 0
    assert jnp.isfinite(found).all()
    if METHODS[method].per_task:
        expected, _ = direction(method, jacobian, losses=np.array([1.0, 2.0], np.float32))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@methods
def test_a_loss_that_is_not_finite_leaves_its_task_out(method):
    found, state = direction(method, jacobian_of(), losses=np.array([1.0, np.nan, 1.0], np.float32))
    assert state.present.tolist() == [True, False, True]
    assert jnp.isfinite(found).all()
    assert state.weights[1] == 0


@methods
def test_an_absent_task_has_no_part_and_comes_back(method):
    jacobian = jacobian_of()
    away = jacobian.copy()
    away[1] = 0
    losses, present = np.array([1, 0, 2], np.float32), np.array([True, False, True])
    found, state = direction(method, away, losses, present)
    assert state.weights[1] == 0
    if METHODS[method].per_task:
        without, _ = direction(method, jacobian[[0, 2]], losses[[0, 2]])
        np.testing.assert_allclose(found, without, rtol=1e-4, atol=1e-5)
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
@methods
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
@methods
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


def test_states_come_back_from_a_checkpoint_and_go_on_as_they_would_have(tmp_path):
    from orbax.checkpoint import v1 as ocp

    states = {method: direction(method, jacobian_of())[1] for method in METHODS}
    with ocp.training.Checkpointer(tmp_path) as checkpointer:
        checkpointer.save_checkpointables(0, {"states": states})
        back = checkpointer.load_checkpointables(0, {"states": states})["states"]
    for method, state in states.items():
        found, _ = direction(method, jacobian_of(seed=1), state=back[method])
        expected, _ = direction(method, jacobian_of(seed=1), state=state)
        np.testing.assert_array_equal(found, expected)


@methods
def test_misuse_is_told(method):
    balancer, params = make(method, T), jnp.zeros(P)
    state = balancer.init(params)
    with pytest.raises(ValueError, match=r"shape \(2, 8\); expected \(3, 8\) where num_tasks=3"):
        balancer.update(jnp.ones((2, P)), state, params, losses=LOSSES)
    with pytest.raises(ValueError, match=r"update\(jacobian, state, params"):
        balancer.update(jnp.ones((T, P)), state, losses=LOSSES)
    with pytest.raises(ValueError, match="losses must have shape"):
        balancer.update(jnp.ones((T, P)), state, params, losses=jnp.ones(2))
    with pytest.raises(ValueError, match="structure of params"):
        balancer.update({"a": jnp.ones((T, P))}, state, params, losses=LOSSES)
    if METHODS[method].needs_losses:
        with pytest.raises(ValueError, match="needs the losses"):
            balancer.update(jnp.ones((T, P)), state, params)
    for wrong in (0, -1, 1.5, True, "3"):
        with pytest.raises(ValueError, match="num_tasks must be a positive integer"):
            make(method, wrong)


WRONG_ARGUMENTS = {
    "aligned_mtl(scale='max')": "one of min, median, rmse",
    "cagrad(c=-0.1)": "c must be at least 0",
    "constant(weights=(1.0, 2.0))": "expected 3 numbers or schedules, not 2",
    "constant(weights=(1.0, 2.0, -1.0))": "must be at least 0",
    "cosmos(preference=(1.0, 1.0))": "expected 3 numbers, one a task",
    "cosmos(preference=(1.0, -1.0, 1.0))": "non-negative numbers",
    "cr_mogm(alpha=2.0)": "between 0 and 1",
    "db_mtl(beta=1.0)": "below 1",
    "dualproj(preference=(0.0, 0.0, 0.0))": "not all of them 0",
    "dwa(temperature=0.0)": "must be positive",
    "dwa(period=0)": "integer of at least 1",
    "excess_mtl(step_size=-1.0)": "must be positive",
    "fairgrad(alpha=0.0)": "must be positive",
    "famo(min_losses=(1.0,))": "expected 3 numbers",
    "graddrop(leak=1.5)": "between 0 and 1",
    "graddrop(leak=(0.5, 0.5))": "expected one number or 3",
    "gradnorm(alpha=-1.0)": "alpha must be at least 0",
    "gradvac(beta=-0.5)": "between 0 and 1",
    "imtl_l(optimizer='adam')": "optax transformation",
    "krum(n_byzantine=1)": "needs at least 4 tasks",
    "krum(n_selected=4)": "there are 3 tasks",
    "mgda(normalise='l1')": "one of none, l2, loss, loss",
    "moco(beta=2.0)": "between 0 and 1",
    "nash_mtl(max_norm=0.0)": "must be positive",
    "pcd(tau=2.0)": "between 0 and 1",
    "pcd(primary=3)": "there are 3 tasks",
    "pbi(theta=-1.0)": "at least 0",
    "stch(mu=0.0)": "must be positive",
    "stch(warmup=2, window=3)": "lies in the warm-up",
    "trimmed_mean(trim_number=2)": "needs at least 5 tasks, not 3",
    "upgrad(preference=(1.0, 1.0))": "expected 3 numbers, one a task",
    "compose(pcgrad(), graddrop(), equal())": "only the last balancer may see",
    "compose()": "at least one",
}


@pytest.mark.parametrize("text", WRONG_ARGUMENTS)
def test_wrong_arguments_are_told(text):
    from mtljax.errors import UserError
    from mtljax.train.config.experiment import balancer_of

    with pytest.raises(UserError, match=WRONG_ARGUMENTS[text]):
        balancer_of(text, num_tasks=3, seed=0)


@methods
def test_is_named_by_its_call_string(method):
    from mtljax.train.config.experiment import balancer_of

    assert isinstance(balancer_of(method, num_tasks=3, seed=0), mtl.balance.Balancer)


@methods
def test_a_step_may_give_up_its_old_state(method):
    balancer, _ = made(method, T)
    state = balancer.init(jnp.zeros(P))
    pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state) if not is_key(leaf)]
    assert len(pointers) == len(set(pointers))


def is_key(leaf):
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@methods
def test_a_state_keeps_its_shapes_and_dtypes(method, dtype):
    with jax.enable_x64(dtype == np.float64):
        balancer, params = make(method, T), jnp.zeros(P, dtype)
        state = balancer.init(params)
        given = {"losses": LOSSES.astype(dtype)}
        found, after = jax.eval_shape(balancer.update, jnp.ones((T, P), dtype), state, params, **given)
    assert (found.shape, found.dtype) == (params.shape, params.dtype)
    described = [jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), tree) for tree in (state, after)]
    assert described[0] == described[1]
