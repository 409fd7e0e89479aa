"""What an update is judged by: losses, gradient, and all that comes of it."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mtljax as mtl
from mtljax import train
from mtljax.train.config.experiment import balancer_of
from tests.train import toys


def assert_left_out(state, new, report):
    assert not report["finite"]
    assert [int(new.step), int(new.skipped), int(new.skipped_in_row)] == [int(state.step) + 1, 1, 1]
    counters = {"step": new.step, "skipped": new.skipped, "skipped_in_row": new.skipped_in_row}
    jax.tree.map(np.testing.assert_array_equal, state.replace(**counters, balance=()), new.replace(balance=()))
    np.testing.assert_array_equal(state.balance.weights, new.balance.weights)


@pytest.mark.parametrize(
    "given",
    [
        {"balance": "equal", "optimizer": optax.sgd(1e38)},
        {"balance": "constant(weights=(1e30, 1.0, 1.0))"},
        {"balance": "equal", "norm": "batch"},
    ],
    ids=["parameters", "the optimiser's state", "batch statistics"],
)
def test_an_update_whose_outcome_is_not_finite_is_left_out(given):
    state, step = toys.setup(**given)
    batch = toys.batch()
    if "norm" in given:
        features = np.maximum(batch["image"] @ np.asarray(state.params["encoder"]["first"]["kernel"]), 0)
        largest, means = float(np.finfo(np.float32).max), features.mean(axis=0).astype(np.float64)
        scale = np.sqrt(1.05 * largest / (features.var(axis=0) + means**2).max())
        assert scale * means.max() < 0.9 * np.sqrt(largest), "one variance is infinite, but no square of a mean"
        batch["image"] = (scale * batch["image"]).astype(np.float32)
    new, report = step(state, batch)
    assert np.isfinite(report["losses"]).all()
    assert report["finite_gradient"], "losses and gradient alone do not tell"
    assert_left_out(state, new, report)


def test_a_balancer_whose_state_is_not_finite_is_left_out():
    """And what was infinite before, as the best loss so far at the start, is no reason."""

    def rule(seen, state):
        _, total = state
        return jnp.ones(3), (jnp.full((), jnp.inf), total + 1e38 * seen.losses.sum())

    balancer = mtl.balance.from_rule(rule, 3, sees="losses", init=lambda: (jnp.full((), jnp.inf), jnp.zeros(())))
    state, _ = toys.setup()
    tx = train.partition({g: optax.sgd(1e-3) for g in ("shared", *toys.TASKS)}, toys.model().groups(state.params))
    step = jax.jit(train.make_train_step(toys.model(), toys.TASKS, balancer, tx))
    state = train.create({"params": state.params}, balancer, tx)
    assert_left_out(state, *step(state, toys.batch()))
    tiny = {name: 1e-3 * toys.batch()[name] for name in toys.TASKS}
    new, report = step(state, toys.batch() | tiny | {"image": np.zeros((toys.BATCH, 6), np.float32)})
    assert report["finite"]
    assert 0 < float(new.balance.rule[1]) < np.inf


class Broken(nn.Module):
    """A head with a parameter of its own whose gradient is infinite; all else of it is finite."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(x) + jnp.sqrt(self.param("root", nn.initializers.zeros, ()))


@pytest.mark.parametrize(
    ("balance", "kwargs"),
    [
        ("equal", {}),
        ("pcgrad", {"measure": "features"}),
        ("graddrop", {"accumulate": 2}),
    ],
    ids=["losses", "features", "elements"],
)
def test_a_private_gradient_that_is_no_number_leaves_the_update_out(balance, kwargs):
    heads = {name: task.head for name, task in toys.TASKS.items()} | {"b": Broken()}
    model = mtl.MultiTask(toys.Encoder(), heads)
    variables = jax.jit(model.init)(jax.random.key(0), jnp.ones((2, 6)))
    balancer = balancer_of(balance, 3, seed=0)
    tx = train.partition({g: optax.sgd(1e-3) for g in ("shared", *toys.TASKS)}, model.groups(variables["params"]))
    step = jax.jit(train.make_train_step(model, toys.TASKS, balancer, tx, **kwargs))
    state = train.create(variables, balancer, tx)
    new, report = step(state, toys.batch())
    assert np.isfinite(report["losses"]).all()
    assert not report["finite_gradient"]
    assert_left_out(state, new, report)
    _, report = step(state, toys.batch(absent=("b",)))
    assert report["finite"], "an absent task's gradient is none"
