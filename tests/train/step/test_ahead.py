"""Steps with a validation batch: the same on any number of devices, and what one's own loop gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax import train
from mtljax.errors import UserError
from mtljax.train.step.ahead import HELD_OUT
from mtljax.train.step.gradients import balanced_gradient
from tests.train import toys


def batch(seed):
    return toys.batch(seed) | {HELD_OUT: toys.batch(100 + seed)}


def taken(balance, spread=None, steps=2):
    state, step = toys.setup(balance, spread=spread, optimizer=toys.SGD)
    place = (lambda tree: tree) if spread is None else spread.place_batch
    for i in range(steps):
        state, report = step(state, place(batch(i)))
    return jax.tree.map(np.asarray, (state.params, report["weights"], report["finite"]))


def losses_fn(params, data):
    predictions = toys.model().apply({"params": params}, data["image"])
    terms = [task.loss(predictions[name], data) for name, task in toys.TASKS.items()]
    return [total / jnp.maximum(count, 1) for total, count in terms]


def test_a_step_gives_a_state_as_it_was_given():
    state, _ = toys.setup("forum()", optimizer=toys.SGD)
    groups = toys.model().groups(state.params)
    tx = train.partition(dict.fromkeys(("shared", *toys.TASKS), toys.SGD), groups)
    step = train.make_train_step(toys.model(), toys.TASKS, mtl.forum(3), tx)
    after, report = jax.eval_shape(step, state, batch(0))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(lambda x: (x.shape, x.dtype), state)
    assert report["weights"].shape == (3,)


@pytest.mark.slow
def test_a_step_is_that_of_ones_own_loop():
    params, weights, finite = taken("forum(lr=0.1)", steps=1)
    assert finite
    state, _ = toys.setup("forum(lr=0.1)", optimizer=toys.SGD)
    balancer, start = mtl.forum(3, lr=0.1), state.params
    data = {name: jnp.asarray(value) for name, value in batch(0).items() if name != HELD_OUT}

    @jax.jit
    def update(start):
        at = mtl.balance.linearize_at(losses_fn, start, data)
        ahead = mtl.balance.look_ahead(losses_fn, start, data, batch(0)[HELD_OUT])
        known = {"losses": at.losses, "owners": at.owners, "ahead": ahead}
        return balancer.update(at.jacobian(), balancer.init(start), start, **known)

    direction, after = update(start)
    np.testing.assert_allclose(weights, after.weights, rtol=1e-4, atol=1e-6)
    wanted = jax.tree.map(lambda p, d: p - 1e-3 * d, start, direction)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), params, wanted)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("balance", "spread"),
    [
        ("moml(lr=0.1, steps=2)", train.mesh),
        ("auto_lambda(lr=0.1)", train.pmap),
        ("forum(lr=0.1)", lambda: train.mesh(fsdp=4, smallest=8)),
    ],
    ids=["moml-mesh", "auto_lambda-pmap", "forum-fsdp"],
)
def test_any_number_of_devices_gives_what_one_gives(balance, spread):
    one, many = taken(balance), taken(balance, spread())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-5), one, many)


def test_a_batch_in_parts_is_refused():
    with pytest.raises(UserError, match="accumulate=2 works without a validation batch"):
        balanced_gradient(toys.model(), toys.TASKS, mtl.moml(3), "shared", accumulate=2)
