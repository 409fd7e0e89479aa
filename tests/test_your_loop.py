"""The loops of docs/your-loop.md, run; and Flax's TrainState with a balancer in it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mtljax as mtl
from tests.test_readme import run_page


@pytest.fixture(scope="module")
def page():
    return run_page("docs/your-loop.md")


def close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6), a, b)


@pytest.mark.slow
def test_both_loops_learn(page):
    untrained = page["errors"]({"price": 0, "size": 0}, page["batch"])
    for losses in (page["losses"], page["nnx_losses"]):
        assert losses[0] < 0.5 * untrained["price"]
        assert losses[1] < 0.5 * untrained["size"]
    assert int(page["state"].step) == 60
    assert not np.allclose(page["state"].opt_state[0].weights, 1), "gradnorm has seen losses"
    assert page["state"].batch_stats["norm"]["mean"].any()
    assert page["model"].norm.mean[...].any()


@pytest.mark.slow
def test_parts_of_a_batch_are_the_batch(page):
    close(
        (page["mean_losses"], page["mean_jacobian"]),
        mtl.value_and_jacobian(page["plain"])(page["params"], page["batch"]),
    )


@pytest.mark.slow
def test_half_precision_stays_in_the_network(page):
    assert {leaf.dtype for leaf in jax.tree.leaves((page["losses16"], page["jacobian16"]))} == {jnp.dtype("float32")}
    np.testing.assert_allclose(page["losses16"], page["mean_losses"], rtol=0.05)
    assert not np.array_equal(page["losses16"], page["mean_losses"])


@pytest.mark.slow
def test_the_rest_of_the_page(page):
    whole = page["mean_jacobian"]
    close(page["again"], whole)
    close(page["of_heads"], {name: whole[name] for name in ("price", "size")})
    close(page["of_trunk"], whole["trunk"])
    close(page["told"], whole)
    with pytest.warns(UserWarning, match="cannot be told apart"):
        _, mixed = mtl.value_and_jacobian(page["together"])(page["params"], page["batch"])
    assert mixed["price"].shape == (2, 32), "there is something to say"
    close(page["same"], whole)
    alone, _ = page["spread_tx"].update(whole, page["spread_tx"].init(page["params"]), page["params"])
    close(page["spread_params"], optax.apply_updates(page["params"], alone))
    close(page["spread_losses"], page["mean_losses"])


PARAMS = {"trunk": jnp.array([1.0, 2.0]), "a": jnp.array(1.0), "b": jnp.array(3.0)}


def losses_fn(params):
    return [jnp.sum((params[task] * params["trunk"] - 1) ** 2) for task in "ab"]


@pytest.fixture
def state():
    tx = optax.chain(mtl.gradnorm(2), optax.sgd(0.01, momentum=0.9))
    return mtl.TrainState.create(apply_fn=losses_fn, params=PARAMS, tx=tx)


def test_a_train_state_does_what_the_chain_does(state):
    losses, jacobian = mtl.value_and_jacobian(losses_fn)(PARAMS)
    present = jnp.array([True, False])
    for known in ({}, {"present": present}):
        updates, opt_state = state.tx.update(jacobian, state.opt_state, PARAMS, losses=losses, **known)
        found = state.apply_gradients(grads=jacobian, losses=losses, **known)
        close((found.params, found.opt_state), (optax.apply_updates(PARAMS, updates), opt_state))
    assert not np.array_equal(found.params["trunk"], state.apply_gradients(jacobian, losses=losses).params["trunk"])


def test_what_is_no_update_is_refused(state):
    losses, jacobian = mtl.value_and_jacobian(losses_fn)(PARAMS)
    with pytest.raises(ValueError, match="expected one Jacobian"):
        state.apply_gradients(losses=losses)
    with pytest.raises(ValueError, match="losses="):
        state.apply_gradients(jacobian)
    plain = mtl.TrainState.create(apply_fn=losses_fn, params=PARAMS, tx=optax.sgd(0.1))
    with pytest.raises(ValueError, match=r"update of shape \(2, 2\) for trunk, of shape \(2,\).*no balancer"):
        plain.apply_gradients(jacobian, losses=losses)


@pytest.mark.parametrize("argnums", [3, -3, (), (0, 2)])
def test_places_that_are_not_there_are_refused(argnums):
    with pytest.raises(ValueError, match=r"argnums=.*expected places among the 2 positional arguments"):
        mtl.value_and_jacobian(lambda x, y: (x * y, x + y), argnums=argnums)(1.0, 2.0)


def test_the_last_place_counts_from_the_end():
    _, jacobian = mtl.value_and_jacobian(lambda x, y: (x * y, x + y), argnums=-1)(3.0, 2.0)
    np.testing.assert_array_equal(jacobian, [3, 1])


def test_paths_of_several_arguments_begin_with_their_place():
    function = mtl.value_and_jacobian(lambda a, b: (a * b["c"], a - b["d"]), argnums=(1, 0), shared="1|0/c")
    _, (of_b, of_a) = function(2.0, {"c": 3.0, "d": 1.0})
    assert (of_a.shape, of_b["c"].shape, of_b["d"].shape) == ((2,), (2,), ())
