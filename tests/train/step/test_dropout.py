"""Noise in a step: of its own for every part, replica and step, and the same again after a restart."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mtljax as mtl
from mtljax import train
from mtljax.train.config.experiment import balancer_of, build
from mtljax.train.step import streams
from tests.train.config.test_experiment import config
from tests.train.toys import regression

UNITS = 64


class Dropping(nn.Module):
    """Features that are parameters, dropped alike for all examples that are worked through together."""

    @nn.compact
    def __call__(self, x, train=False):
        weights = self.param("weights", nn.initializers.normal(1.0), (UNITS,))
        kept = nn.Dropout(0.5, deterministic=not train)(weights)
        return jnp.broadcast_to(kept, (len(x), UNITS))


class Total(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x.sum(axis=-1, keepdims=True)


def linear(name):
    """A loss that is its prediction: its gradient is the mask, averaged over what had one of its own."""
    made = vars(regression(name, 1))
    return mtl.Task(**{**made, "head": Total(), "loss": lambda p, batch: (p.sum(), jnp.float32(p.size))})


TASKS = {name: linear(name) for name in "ab"}
BATCH = {"image": np.ones((8, 1), np.float32)} | {name: np.zeros((8, 1), np.float32) for name in "ab"}


def steps(balance="equal", number=1, start=0, spread=None, seed=0, **kwargs):
    """Of each step, the mask that a task's gradient shows, and what its loss was."""
    model = mtl.MultiTask(Dropping(), {name: task.head for name, task in TASKS.items()})
    variables = jax.jit(model.init)(jax.random.key(0), BATCH["image"])
    balancer = balancer_of(balance, 2, seed=0)
    tx = train.partition({"shared": optax.sgd(0.5)}, model.groups(variables["params"]))
    made = train.make_train_step(model, TASKS, balancer, tx, seed=seed, spread=spread, **kwargs)
    state = train.create(variables, balancer, tx).replace(step=jnp.int32(start))
    state, step, place = (state, jax.jit(made), lambda x: x) if spread is None else (
        spread.place_state(state), spread.train(made), spread.place_batch)  # fmt: skip
    found = []
    for _ in range(number):
        before = np.asarray(state.params["encoder"]["weights"])
        state, report = step(state, place(BATCH))
        mask = before - np.asarray(state.params["encoder"]["weights"])  # two tasks, at half a rate
        np.testing.assert_allclose(report["losses"], [before @ mask] * 2, rtol=1e-4, atol=1e-4)
        found.append(mask)
    return np.round(found, 3)


@pytest.mark.parametrize(
    ("balance", "spread", "kwargs", "noises"),
    [
        ("equal", None, {}, 1),
        ("equal", None, {"accumulate": 2}, 2),
        ("pcgrad", None, {"accumulate": 2}, 2),
        ("equal", lambda: train.mesh(data=2), {}, 2),
        ("equal", lambda: train.mesh(data=1, fsdp=2, smallest=8), {"accumulate": 2}, 4),
        ("equal", train.pmap, {}, 8),
    ],
    ids=["whole", "parts", "parts of rows", "mesh", "parts on a mesh", "pmap"],
)
def test_parts_replicas_and_steps_have_masks_of_their_own(balance, spread, kwargs, noises):
    """The mean of n masks of 0 and 2 takes n + 1 values, of which so few units may miss some; of n / 2, n / 2 + 1."""
    first, second = steps(balance, 2, spread=spread and spread(), **kwargs)
    values = np.arange(noises + 1) * 2 / noises
    assert set(first) <= set(np.round(values, 3))
    assert len(set(first)) >= noises // 2 + 2
    assert (first != second).any()


def test_a_restart_draws_what_would_have_been_drawn():
    whole = steps(number=4)
    np.testing.assert_allclose(steps(number=2, start=2), whole[2:])
    np.testing.assert_allclose(steps(number=1), whole[:1])
    assert (steps(number=1, seed=1) != whole[:1]).any()


def test_the_balancer_draws_from_another_stream():
    given = {"model": "MultiTask(encoder=MLP([4]))", "tasks": {"fine": "classify(num_classes=3, label='fine')"}}
    parts = build(config(balance="random_weighting()", optimizers={"shared": "sgd(1.0)", "fine": "sgd(1.0)"}, **given))

    def bits(*keys):
        """Of keys, and of what is split from them."""
        each = [key for root in keys for key in (root, *jax.random.split(root, 3))]
        return {tuple(jax.random.key_data(key).tolist()) for key in each}

    balancer = bits(parts.balancer.init(jnp.ones(1)).rule)
    dropout = bits(*(streams.key_of(parts.config.seed, streams.DROPOUT, step) for step in range(4)))
    assert not balancer & dropout
    assert not (balancer | dropout) & bits(jax.random.key(parts.config.seed)), "which parameters are made from"
