"""Ways to share: each against what it is in a limit, its count of parameters, its cost, and who feels whose loss."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mtljax as mtl
from mtljax import models, train
from tests.models.toys import (
    ALL,
    CONV,
    HEADS,
    IMAGES,
    MLP,
    ON_IMAGES,
    ON_VECTORS,
    K,
    X,
    assert_close,
    every_way,
    init,
    random_variables,
    size,
    ways,
    without,
)
from tests.train import toys

BOTH = {name: (model, X) for name, model in ON_VECTORS.items()}
BOTH |= {name: (ON_IMAGES[name], IMAGES) for name in ("MTAN", "PADNet")} | {
    "CrossStitch-4d": (ON_IMAGES["CrossStitch"], IMAGES)
}


def test_all_ways_are_tried():
    assert {name for name, _, _ in ALL} == set(models.SHARING)


@every_way
def test_predicts_every_task_and_one_alone_the_same(name, model, x):
    both = jax.jit(lambda v: (model.apply(v, x), model.apply(v, x, tasks=("b",))))
    everything, alone = both(random_variables(model, x))
    assert jax.tree.map(lambda p: p.shape, dict(everything)) == {"a": (len(x), 2), "b": (len(x), 1)}
    assert_close(alone, {"b": everything["b"]})


@every_way
def test_a_loss_is_felt_by_no_other_tasks_parameters(name, model, x):
    variables = random_variables(model, x)
    params, rest = variables.pop("params"), variables

    def loss(params):
        return jnp.sum(model.apply({"params": params, **rest}, x, train=False)["a"] ** 2)

    groups = model.groups(params)
    assert set(jax.tree.leaves(groups)) <= {"shared", *HEADS, *model.special_groups}
    gradient = jax.jit(jax.grad(loss))(params)
    felt = {g: 0.0 for g in set(jax.tree.leaves(groups))}
    for g, leaf in zip(jax.tree.leaves(groups), jax.tree.leaves(gradient), strict=True):
        felt[g] += float(jnp.sum(jnp.abs(leaf)))
    assert felt["a"] > 0
    if name in ("CrossStitch", "Sluice", "NDDR", "PLE"):  # others' networks or experts are a part of the task's
        felt["b"] = float(sum(jnp.abs(leaf).sum() for leaf in jax.tree.leaves(gradient["heads_b"])))
    if name != "PADNet":  # messages are made of the others' maps
        assert felt["b"] == 0


@every_way
def test_activations_can_be_computed_again(name, model, x):
    again = model.clone(remat=True)
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    assert "prevent_cse=True" in str(jax.make_jaxpr(lambda v: again.apply(v, x))(variables))


@pytest.mark.parametrize("name", [n if n == "MTAN" else pytest.param(n, marks=pytest.mark.slow) for n in BOTH])
def test_activations_computed_again_give_the_same_gradient(name):
    model, x = BOTH[name]
    variables = random_variables(model, x)
    params, rest = variables.pop("params"), variables

    def gradient(model):
        def loss(params):
            predictions = model.apply({"params": params, **rest}, x)
            return sum(jnp.sum(p**2) for p in predictions.values())

        return jax.grad(loss)

    again = gradient(model.clone(remat=True))
    assert_close(*jax.jit(lambda params: (again(params), gradient(model)(params)))(params))


@pytest.mark.slow
def test_mtan_with_masks_at_one_is_multitask():
    model = mtl.MTAN(CONV, HEADS, norm="group")
    variables = init(model, IMAGES)["params"]

    def opened(path, leaf):
        keys = [part.key for part in path]
        if not keys[0].startswith("attention") or not re.fullmatch(r"mask\d_norm", keys[1]):
            return leaf
        return jnp.full_like(leaf, 50.0) if keys[-1] == "bias" else jnp.zeros_like(leaf)

    params = jax.tree_util.tree_map_with_path(opened, variables)
    hard = {"params": without(params, "attention")}
    masked = jax.jit(model.apply)
    found = masked({"params": params}, IMAGES)
    assert_close(found, jax.jit(mtl.MultiTask(CONV, HEADS).apply)(hard, IMAGES))
    assert not np.allclose(masked({"params": variables}, IMAGES)["a"], found["a"])


def test_branches_are_sampled_in_training_and_fixed_after():
    model = mtl.LearnToBranch(MLP, HEADS, nodes=2, annealing=4, temperature=(10.0, 0.1))
    variables = dict(init(model, X))
    params = dict(variables["params"])
    params["branch_layer2"] = jnp.array([[0.0, 1.0], [1.0, 0.0]])
    params |= {"branch_a": jnp.array([1.0, 0.0]), "branch_b": jnp.array([0.0, 1.0])}
    variables["params"] = params
    found = jax.jit(model.apply)(variables, X)

    def dense(node, layer, x):
        part = params[f"nodes_{node}"][f"Dense_{layer}"]
        return np.maximum(x @ np.asarray(part["kernel"]) + part["bias"], 0)

    through = {"a": dense(0, 1, dense(1, 0, X)), "b": dense(1, 1, dense(0, 0, X))}
    for task, z in through.items():
        wanted = jax.jit(HEADS[task].apply)({"params": params[f"heads_{task}"]}, z)
        np.testing.assert_allclose(found[task], wanted, rtol=1e-5, atol=1e-6)
    outputs, step = [], jax.jit(functools.partial(model.apply, train=True, mutable=["annealing"]))
    for i in range(3):
        rngs = {"dropout": jax.random.key(i)}
        out, changed = step(variables, X, rngs=rngs)
        variables |= changed
        outputs.append(np.asarray(out["a"]))
    assert variables["annealing"]["steps"] == 3
    assert not np.allclose(outputs[0], outputs[1])


@pytest.mark.slow
def test_padnet_without_messages_predicts_from_each_tasks_own_map():
    model = mtl.PADNet(CONV, HEADS, width=4)
    params = init(model, IMAGES)["params"]
    silent = jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.zeros_like(leaf) if path[1].key.startswith("from_") else leaf, params
    )
    _, sown = model.apply({"params": silent}, IMAGES, train=True, mutable=[models.INITIAL])
    same = {**silent, **{f"initial_{t}": silent[f"heads_{t}"] for t in HEADS}}
    final, sown = model.apply({"params": same}, IMAGES, train=True, mutable=[models.INITIAL])
    for task in HEADS:
        [initial] = sown[models.INITIAL][task]
        np.testing.assert_allclose(final[task], initial, rtol=1e-5, atol=1e-6)


def test_parameters_are_as_many_as_the_formulas_say():
    head = sum((8 + 1) * channels for channels in (2, 1))
    network = (6 * 8 + 8) + (8 * 8 + 8)
    wanted = {
        "MultiTask": network + head,
        "SingleTask": K * network + head,
        "CrossStitch": K * network + head + 2 * K * K * 8,
        "Sluice": K * network + head + 2 * (2 * K) ** 2 + K * 2,
        # Projections with the two factors of their normalisation, and one of both layers for the shortcut.
        "NDDR": K * network + head + 2 * K * (K * 8 * 8 + 16) + K * (2 * 8 * 8 + 16),
        "LearnToBranch": K * network + head + K * K + K * K,
        "MMoE": 3 * network + head + K * 6 * 3,
        "CGC": (2 + K) * network + head + K * 6 * 3,
        "PLE": (2 + K) * (network + 2 * (8 * 8 + 8)) + head + K * (6 + 8) * 3 + 6 * (2 + K),
        "DSelectK": 4 * network + head + K * (6 * 4 + 4 + 6 * 2 + 2),
    }
    shapes = {name: jax.eval_shape(model.init, jax.random.key(0), X) for name, model in ON_VECTORS.items()}
    found = {name: size(variables["params"]) for name, variables in shapes.items()}
    assert found == wanted


def flops(model, x, **kwargs):
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    program = jax.jit(lambda v, x: model.apply(v, x, **kwargs)).lower(variables, x).compile()
    return program.cost_analysis()["flops"]


def test_hard_sharing_costs_one_encoder_and_soft_sharing_one_for_each_task():
    wide = mtl.encoders.MLP((256, 256))
    x = jnp.ones((64, 128))
    one = flops(wide, x)
    wanted = ("MultiTask", "SingleTask", "CrossStitch", "Sluice", "CGC")
    every = {name: model for name, model in ways(wide).items() if name in wanted}
    costs = {name: flops(model, x) / one for name, model in every.items()}
    assert costs["MultiTask"] == pytest.approx(1, abs=0.05)
    for name in ("SingleTask", "CrossStitch", "Sluice"):
        assert costs[name] == pytest.approx(K, abs=0.15), name
    for name in ("SingleTask", "CGC"):  # others need what all tasks share, which is nearly everything
        assert flops(every[name], x, tasks=("a",)) / one < costs[name] - 0.9 * (K - 1), name


SLOW = [
    pytest.param(name, marks=pytest.mark.slow)
    for name in ("CrossStitch", "PLE", "Sluice", "NDDR", "DSelectK", "LearnToBranch")
]  # the step sees nothing new: that it takes gradients of all tasks apart is tested with the steps


@pytest.mark.parametrize("name", SLOW)
def test_trains_with_gradient_surgery_in_the_step(name):
    tasks = {name: toys.TASKS[name] for name in HEADS}
    model = ON_VECTORS[name]
    balancer = mtl.pcgrad(K)
    batch = toys.batch()
    variables = init(model, batch["image"])
    groups = model.groups(variables["params"])
    tx = train.partition({g: optax.adam(1e-2) for g in set(jax.tree.leaves(groups))}, groups)
    step = jax.jit(train.make_train_step(model, tasks, balancer, tx))
    state = train.create(variables, balancer, tx)
    losses = []
    for _ in range(12):
        state, report = step(state, batch)
        assert bool(report["finite"])
        losses.append(np.asarray(report["losses"]))
    assert (losses[-1] < losses[0]).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mtl.CrossStitch(MLP, HEADS, stages=("layer3",)), "has no stage 'layer3'; it has layer1, layer2"),
        (lambda: mtl.CrossStitch(toys.Encoder(), HEADS), "expected an encoder with stages"),
        (lambda: init(mtl.CrossStitch(MLP, HEADS, alpha="half"), X), "expected a pair (same, different)"),
        (lambda: init(mtl.MMoE(HEADS, CONV), IMAGES), "Experts can be encoders that give vectors: MLP"),
        (lambda: init(mtl.MTAN(MLP, HEADS), X), "MTAN selects from feature maps; MLP gives shapes"),
        (lambda: init(mtl.PADNet(MLP, HEADS), X), "PADNet exchanges feature maps"),
        (lambda: init(mtl.Sluice(mtl.encoders.MLP((3,)), HEADS), X), "Sluice halves the channels"),
        (lambda: init(mtl.DSelectK(HEADS, MLP, experts=2, k=3), X), "expected 1 <= k <= experts"),
        (lambda: mtl.CGC(HEADS, MLP, levels=2), "CGC has one level"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(make, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        make()
