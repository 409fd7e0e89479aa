"""Batches in parts, rows under vmap, activations computed again: other ways to the same numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mtljax as mtl
from mtljax import train
from mtljax.errors import UserError
from mtljax.train.config.experiment import balancer_of
from mtljax.train.step import accumulation
from mtljax.train.step.gradients import balanced_gradient
from tests.models.toys import random_like
from tests.train import toys

SGD = toys.SGD


def found(balance="imtl_g", spread=None, steps=2, model=None, **kwargs):
    """Parameters and last report after a few steps on one replica, or spread."""
    m = model or toys.model()
    balancer = balancer_of(balance, 3, seed=0)
    variables = toys.setup()[0]
    variables = jax.tree.map(jnp.copy, {"params": variables.params})  # a step may write where its state was
    tx = train.partition(dict.fromkeys(("shared", *toys.TASKS), SGD), m.groups(variables["params"]))
    step = train.make_train_step(m, toys.TASKS, balancer, tx, spread=spread, **kwargs)
    state = train.create(variables, balancer, tx)
    place = (lambda batch: batch) if spread is None else spread.place_batch
    state, step = (state, jax.jit(step)) if spread is None else (spread.place_state(state), spread.train(step))
    for i in range(steps):
        state, report = step(state, place(toys.batch(i)))
    return jax.tree.map(np.asarray, (state.params, report["losses"], report["weights"]))


@pytest.fixture(scope="module")
def expected():
    return functools.cache(found)


def same(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), a, b)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("balance", "parts"),
    [
        ("imtl_l", 2),
        pytest.param("imtl_g", 4, marks=SLOW),  # goes its way on many devices below
        pytest.param("graddrop", 2, marks=SLOW),
        pytest.param("equal", 4, marks=SLOW),  # imtl_l goes its way
        pytest.param("imtl", 4, marks=SLOW),  # imtl_g goes its way
    ],
)
def test_parts_of_a_batch_add_up_to_the_whole(expected, balance, parts):
    same(found(balance, accumulate=parts), expected(balance))


@pytest.mark.parametrize("balance", [pytest.param("equal", marks=SLOW), "imtl_g", pytest.param("graddrop", marks=SLOW)])
def test_parts_of_a_batch_add_up_on_many_devices(expected, balance):
    same(found(balance, accumulate=2, spread=train.mesh(data=2, fsdp=2, smallest=8)), expected(balance))


@pytest.mark.parametrize("balance", ["imtl_l", "imtl_g"])
@pytest.mark.parametrize("spread", [None, pytest.param(lambda: train.mesh(data=2, fsdp=2, smallest=8), marks=SLOW)])
def test_parts_in_a_loop_add_up_to_the_whole(expected, balance, spread, monkeypatch):
    monkeypatch.setattr(accumulation, "loops_pay", lambda: True)
    same(found(balance, accumulate=4, spread=spread and spread()), expected(balance))


def test_a_loop_is_traced_once_for_all_parts_after_the_first(monkeypatch):
    monkeypatch.setattr(accumulation, "loops_pay", lambda: True)
    gradient_of = balanced_gradient(toys.model(), toys.TASKS, mtl.pcgrad(3), "shared", accumulate=8)
    params = toys.setup()[0].params
    given = (params, {}, mtl.pcgrad(3).init(params), toys.batch(), jax.random.key(0))
    loops = [e for e in jax.make_jaxpr(gradient_of)(*given).jaxpr.eqns if e.primitive.name == "scan"]
    assert [loop.params["length"] for loop in loops].count(7) == 1


def test_a_part_waits_for_the_one_before_it():
    """So that only one part's activations are held: the parameters of each come with what the one before has found."""
    gradient_of = balanced_gradient(toys.model(), toys.TASKS, mtl.pcgrad(3), "shared", accumulate=4)
    params = toys.setup()[0].params
    given = (params, {}, mtl.pcgrad(3).init(params), toys.batch(), jax.random.key(0))
    equations = jax.make_jaxpr(gradient_of)(*given).jaxpr.eqns
    waits = [equation for equation in equations if equation.primitive.name == "optimization_barrier"]
    assert len(waits) == 3
    assert all(len(equation.invars) > len(jax.tree.leaves(params)) for equation in waits)


def test_a_task_without_labels_in_one_part_counts_in_the_others():
    """The first half of a batch has no label of the last task: its mean is over the others' alone."""
    batch = toys.batch()
    batch["c_valid"] &= np.arange(toys.BATCH)[:, None] >= toys.BATCH // 2
    balancer, params = mtl.imtl_g(3), toys.setup()[0].params
    gradient_of = balanced_gradient(toys.model(), toys.TASKS, balancer, "shared", accumulate=2)
    balance = balancer.init(params)
    reordered = jax.tree.map(lambda x: x.reshape(2, -1, *x.shape[1:]).swapaxes(0, 1).reshape(x.shape), batch)
    whole = balanced_gradient(toys.model(), toys.TASKS, balancer, "shared")
    a = jax.jit(gradient_of)(params, {}, balance, reordered, jax.random.key(0))
    b = jax.jit(whole)(params, {}, balance, batch, jax.random.key(0))
    same((a.losses, a.gradient), (b.losses, b.gradient))


@pytest.mark.parametrize("balance", ["equal", pytest.param("pcgrad", marks=SLOW)])
def test_batch_statistics_are_moved_by_every_part(balance):
    params = jax.jit(toys.model("batch").init)(jax.random.key(0), jnp.ones((2, 6)))["params"]
    gradient_of = balanced_gradient(toys.model("batch"), toys.TASKS, getattr(mtl, balance)(3), "shared", accumulate=2)
    state = {"batch_stats": {"encoder": {"BatchNorm_0": {"mean": jnp.zeros(12), "var": jnp.ones(12)}}}}
    balance = getattr(mtl, balance)(3).init(params)
    found = jax.jit(gradient_of)(params, state, balance, toys.batch(), jax.random.key(0)).model_state
    features = np.maximum(toys.batch()["image"] @ np.asarray(params["encoder"]["first"]["kernel"]), 0)
    first, second = features[0::2], features[1::2]
    mean = 0.9 * 0.1 * first.mean(0) + 0.1 * second.mean(0)
    variance = 0.9 * (0.9 + 0.1 * first.var(0)) + 0.1 * second.var(0)
    moved = found["batch_stats"]["encoder"]["BatchNorm_0"]
    np.testing.assert_allclose(moved["mean"], mean, rtol=1e-4)
    np.testing.assert_allclose(moved["var"], variance, rtol=1e-4)


@pytest.mark.skipif(mtl.balance.mapped_rows_fail() is not None, reason="refused here")
@pytest.mark.parametrize("spread", [None, lambda: train.mesh(fsdp=2, smallest=8)], ids=["one", "fsdp"])
def test_rows_under_vmap_are_the_rows(expected, spread):
    same(found("imtl_g", vectorised=True, spread=spread and spread()), expected("imtl_g"))


@pytest.mark.slow
def test_activations_computed_again_are_the_same(expected):
    heads = {name: task.head for name, task in toys.TASKS.items()}
    model = mtl.MultiTask(toys.Encoder(), heads, remat=True)
    same(found("equal", model=model), expected("equal"))
    jaxpr = jax.make_jaxpr(lambda v: model.apply(v, jnp.ones((2, 6))))(model.init(jax.random.key(0), jnp.ones((2, 6))))
    assert "checkpoint" in str(jaxpr) or "remat" in str(jaxpr)


@pytest.mark.parametrize(("balance", "measure"), [("pcgrad", "features"), ("pcgrad", "last_layer"), ("modo", "shared")])
def test_what_accumulation_cannot_work_with_is_told(balance, measure):
    with pytest.raises(UserError, match=r"accumulate=2 works with measure='shared', not with"):
        balanced_gradient(toys.model(), toys.TASKS, balancer_of(balance, 3, seed=0), measure, accumulate=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("balance", "accumulate"),
    [("pcgrad", 2), pytest.param("equal", 2, marks=SLOW), pytest.param("modo", 1, marks=SLOW)],
)
def test_a_tree_cools_once_a_step_in_however_many_parts(balance, accumulate):
    tasks = {name: toys.TASKS[name] for name in ("a", "b")}
    model = mtl.LearnToBranch(mtl.encoders.MLP((4, 4)), {name: task.head for name, task in tasks.items()})
    balancer = balancer_of(balance, 2, seed=0)
    variables = random_like(jax.eval_shape(model.init, jax.random.key(0), jnp.ones((2, 6))))
    variables["annealing"] = {"steps": jnp.int32(0)}
    groups = model.groups(variables["params"])
    tx = train.partition(dict.fromkeys(set(jax.tree.leaves(groups)), SGD), groups)
    step = train.make_train_step(model, tasks, balancer, tx, accumulate=accumulate)
    step = jax.jit(step, compiler_options={"xla_backend_optimization_level": 0})
    state = train.create(variables, balancer, tx)
    for i in (1, 2):
        state, report = step(state, toys.batch())
        assert bool(report["finite"])
        assert state.model_state["annealing"]["steps"] == i
