"""What every balancer is to those who call it, from one table (`table.py`); nothing is compiled here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from optax.experimental import aggregating

import mtljax as mtl
from tests.balance.methods.table import METHODS, exported, is_key, make

methods = pytest.mark.parametrize("method", METHODS)
T, P = 3, 8
LOSSES = np.array([1.0, 2.0, 0.5], np.float32)


def test_every_method_has_a_row():
    assert exported() == set(METHODS)


@methods
def test_lives_in_the_file_of_its_name(method):
    assert getattr(mtl, method).__module__ == f"mtljax.balance.methods.{method}"


@methods
def test_is_an_optax_aggregator(method):
    assert isinstance(make(method, 3), aggregating.Aggregator)


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
    "constant(weights=(1.0, 1e999, 1.0))": "must be at least 0, and finite",
    "dwa(temperature=0.0)": "must be positive",
    "dwa(period=0)": "integer of at least 1",
    "excess_mtl(step_size=-1.0)": "must be positive",
    "fairgrad(alpha=0.0)": "must be positive",
    "fairgrad(alpha=1e999)": "must be positive, and finite",
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
    "pbi(reference=(1e999, 0.0, 0.0))": "expected finite numbers",
    "stch(mu=0.0)": "must be positive",
    "stch(warmup=2, window=3)": "lies in the warm-up",
    "stch(log=False, warmup=3)": "log=False has no warm-up",
    "stch(log=False, reference=[1.0])": "expected 3 numbers, one a task",
    "stch(reference=[1.0, 1.0, 1.0])": "is of plain losses; expected log=False",
    "trimmed_mean(trim_number=2)": "needs at least 5 tasks, not 3",
    "upgrad(preference=(1.0, 1.0))": "expected 3 numbers, one a task",
    "xtc(direct=3)": "there are 3 tasks",
    "xtc(direct='normals')": "a name needs tasks=",
    "xtc(direct=-1)": "integer of at least 0",
    "compose(pcgrad(), graddrop(), equal())": "only the last balancer may see",
    "compose()": "at least one",
    "cr_mogm(auto_lambda())": "needs a validation batch; it works alone",
}


def test_products_of_rows_of_nothing_shared_are_zeros():
    from mtljax.balance.memory.tracking import cross_gramian

    np.testing.assert_array_equal(cross_gramian([None], [None], 1), [[0]])  # of one task everything is its own


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
    state = make(method, T).init(jnp.zeros(P))
    pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state) if not is_key(leaf)]
    assert len(pointers) == len(set(pointers))


@methods
def test_a_state_keeps_its_shapes_and_dtypes_in_float64(method):
    with jax.enable_x64(True):
        balancer, params = make(method, T), jnp.zeros(P, jnp.float64)
        state = balancer.init(params)
        given = {"losses": LOSSES.astype(np.float64)}
        found, after = jax.eval_shape(balancer.update, jnp.ones((T, P), jnp.float64), state, params, **given)
    assert (found.shape, found.dtype) == (params.shape, params.dtype)
    described = [jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), tree) for tree in (state, after)]
    assert described[0] == described[1]
