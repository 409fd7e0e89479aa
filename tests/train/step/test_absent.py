"""A task without labels in a batch: what it owns stays as it was, with all that goes with it."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mtljax as mtl
from mtljax import train
from mtljax.train.config.experiment import balancer_of
from mtljax.train.step.gradients import balanced_gradient
from tests.train import toys

ADAMW = optax.adamw(optax.linear_schedule(1e-2, 1e-3, 10), weight_decay=0.1)


def steps(batches, model=None, balance="pcgrad", spread=None, optimizer=None, **kwargs):
    """The states after each batch, of Adam with weight decay in every group."""
    model, plain = model or toys.model, (model or toys.model)(None)
    spread = spread and spread()
    variables = jax.jit(plain.init)(jax.random.key(0), jnp.ones((2, 6)))
    balancer = balancer_of(balance, 3, seed=0)
    groups = plain.groups(variables["params"])
    chosen = {group: ADAMW for group in set(jax.tree.leaves(groups))} | (optimizer or {})
    tx = train.partition(chosen, groups)
    made = train.make_train_step(model(spread and spread.axis), toys.TASKS, balancer, tx, spread=spread, **kwargs)
    state = train.create(variables, balancer, tx)
    state, step, place = (state, jax.jit(made), lambda x: x) if spread is None else (
        spread.place_state(state), spread.train(made), spread.place_batch)  # fmt: skip
    found = []
    for batch in batches:
        state, report = step(state, place(batch))
        assert report["finite"]
        found.append(jax.tree.map(lambda x: np.asarray(_bits(x)), state))
    return found


def _bits(x):
    return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x


def parts(state, name):
    """What belongs to a group: parameters, statistics, the optimiser's state."""
    trees = (state.params, state.model_state.get("batch_stats", {}))
    named = [{key: part for key, part in tree.items() if key.endswith(f"_{name}")} for tree in trees]
    return [*named, state.optimizer.inner_states[name]]


def same(a, b):
    return all((x == y).all() for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


BATCHES = [toys.batch(0), toys.batch(1, absent=("b",)), toys.batch(2, absent=tuple("abc")), toys.batch(3)]


class Normed(nn.Module):
    """A head with batch statistics of its own."""

    @nn.compact
    def __call__(self, x, train=False):
        return nn.Dense(1)(nn.BatchNorm(use_running_average=not train, name="norm")(x))


def with_norms(axis):
    heads = {name: task.head for name, task in toys.TASKS.items()} | {"b": Normed()}
    return mtl.MultiTask(toys.Encoder("batch", axis), heads)


def of_one_task_each(axis):
    return mtl.SingleTask(toys.Encoder("batch", axis), {name: task.head for name, task in toys.TASKS.items()})


def fsdp():
    return train.mesh(data=2, fsdp=2, smallest=8)


@pytest.mark.parametrize(
    ("balance", "model", "spread", "kwargs"),
    [
        ("equal", None, fsdp, {}),
        pytest.param("pcgrad", None, train.pmap, {}, marks=pytest.mark.slow),
        ("pcgrad", with_norms, None, {"measure": "features"}),
        pytest.param("equal", of_one_task_each, None, {"accumulate": 2}, marks=pytest.mark.slow),
    ],
    ids=["losses on a mesh", "by pmap", "features", "single, accumulated"],
)
def test_what_an_absent_task_owns_stays(balance, model, spread, kwargs):
    first, second, third, fourth = steps(BATCHES, model, balance, spread, **kwargs)
    assert same(parts(second, "b"), parts(first, "b"))
    for name in "ac":
        for now, before in zip(parts(second, name), parts(first, name), strict=True):
            assert not jax.tree.leaves(now) or not same(now, before), name
    if model is not of_one_task_each:
        shared = [[s.params["encoder"], s.optimizer.inner_states["shared"]] for s in (first, second)]
        assert not any(same(a, b) for a, b in zip(*shared, strict=True))
    # Where all are absent, nothing moves but the number of the step.
    assert third.step == 3
    assert same(third.replace(step=second.step), second)
    assert not same(parts(fourth, "b"), parts(third, "b"))


def owners(balance, measure="shared", accumulate=1, model=None):
    """Of every parameter: known when a step is traced, without a run."""
    model, balancer = model or toys.model(), balancer_of(balance, 3, 0)
    gradient_of = balanced_gradient(model, toys.TASKS, balancer, measure, accumulate=accumulate)
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((2, 6)))["params"]
    balance = jax.eval_shape(balancer.init, params)
    return jax.eval_shape(gradient_of, params, {}, balance, toys.batch(), jax.random.key(0)).owners.tree(params)


@pytest.mark.parametrize(
    ("balance", "measure", "accumulate"),
    [("equal", "shared", 1), ("pcgrad", "shared", 1), ("pcgrad", "last_layer", 1), ("pcgrad", "features", 1),
     ("graddrop", "features", 1), ("modo", "shared", 1), ("equal", "shared", 2), ("pcgrad", "shared", 2)],
)  # fmt: skip
def test_who_owns_what_does_not_depend_on_what_is_looked_at(balance, measure, accumulate):
    found = owners(balance, measure, accumulate)
    leaves = jax.tree.leaves(found, is_leaf=lambda x: isinstance(x, tuple))
    assert found["encoder"]["first"]["kernel"] == (0, 1, 2)
    assert [found[f"heads_{name}"]["Dense_0"]["bias"] for name in "abc"] == [(0,), (1,), (2,)]
    assert sorted(set(leaves)) == [(0,), (0, 1, 2), (1,), (2,)]


def test_the_head_of_a_parent_is_its_childs_as_well():
    """So a child's loss moves it where the parent has no labels."""

    class Child(nn.Module):
        @nn.compact
        def __call__(self, x, parents):
            return nn.Dense(1)(jnp.concatenate([x, parents["b"]], axis=-1))

    heads = {name: task.head for name, task in toys.TASKS.items()} | {"c": Child()}
    found = owners("pcgrad", model=mtl.MultiTask(toys.Encoder(), heads, parents={"c": ("b",)}))
    assert found["heads_b"]["Dense_0"] == {"bias": (1, 2), "kernel": (1, 2)}


@pytest.mark.slow
def test_any_optimiser_is_held():
    """One for all parameters, without groups: moments stay leaf by leaf, what is of all goes on."""
    model, balancer = toys.model(), mtl.equal(3)
    variables = jax.jit(model.init)(jax.random.key(0), jnp.ones((2, 6)))
    step = jax.jit(train.make_train_step(model, toys.TASKS, balancer, ADAMW))
    first, _ = step(train.create(variables, balancer, ADAMW), BATCHES[0])
    second, _ = step(first, BATCHES[1])
    moments = [
        [s.params["heads_b"], s.optimizer[0].mu["heads_b"], s.optimizer[0].nu["heads_b"]] for s in (first, second)
    ]
    assert same(*moments)
    assert second.optimizer[0].count == 2
    assert not same(second.params["heads_a"], first.params["heads_a"])
