"""Ways to share: each against what it is in a limit, its count of parameters, its cost, and who feels whose loss."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mtljax as mtl
from mtljax import models, train
from mtljax.models.sharing import nddr, stitched
from mtljax.models.sharing.layers import Norm
from tests.train import toys

HEADS = {"a": mtl.heads.Linear(2), "b": mtl.heads.Linear(1)}
K = len(HEADS)
MLP = mtl.encoders.MLP((8, 8))
CONV = mtl.encoders.UNet(width=4, levels=1)
X = jax.random.normal(jax.random.key(1), (5, 6))
IMAGES = jax.random.normal(jax.random.key(2), (2, 8, 8, 3))


def ways(encoder, heads=HEADS):
    """Every way to share that takes the encoder."""
    found = {
        "MultiTask": mtl.MultiTask(encoder, heads),
        "SingleTask": mtl.SingleTask(encoder, heads),
        "CrossStitch": mtl.CrossStitch(encoder, heads),
        "Sluice": mtl.Sluice(encoder, heads),
        "NDDR": mtl.NDDR(encoder, heads),
        "LearnToBranch": mtl.LearnToBranch(encoder, heads),
    }
    if isinstance(encoder, mtl.encoders.MLP):
        return found | {
            "MMoE": mtl.MMoE(heads, encoder, experts=3),
            "CGC": mtl.CGC(heads, encoder, shared=2, own=1),
            "PLE": mtl.PLE(heads, encoder, shared=2, own=1),
            "DSelectK": mtl.DSelectK(heads, encoder, experts=4, k=2),
        }
    return found | {"MTAN": mtl.MTAN(encoder, heads), "PADNet": mtl.PADNet(encoder, heads, width=4)}


ON_VECTORS, ON_IMAGES = ways(MLP), ways(CONV)
ALL = [*((n, m, X) for n, m in ON_VECTORS.items()), *((n, m, IMAGES) for n, m in ON_IMAGES.items())]
NAMES = [f"{name}-{x.ndim}d" for name, _, x in ALL]
every_way = pytest.mark.parametrize(("name", "model", "x"), ALL, ids=NAMES)


INITIALISED = {}


def init(model, x):
    """Its variables, made once for all tests."""
    key = (repr(model), x.shape)
    if key not in INITIALISED:
        INITIALISED[key] = jax.jit(lambda key: model.init(key, x))(jax.random.key(0))
    return INITIALISED[key]


def size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def assert_close(a, b, **kwargs):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6, **kwargs), dict(a), dict(b))


def without(params, prefix):
    return {name: part for name, part in params.items() if not name.startswith(prefix)}


def test_all_ways_are_tried():
    assert {name for name, _, _ in ALL} == set(models.SHARING)


@every_way
def test_predicts_every_task_and_one_alone_the_same(name, model, x):
    variables = init(model, x)
    everything = jax.jit(lambda v: model.apply(v, x))(variables)
    assert jax.tree.map(lambda p: p.shape, dict(everything)) == {"a": (len(x), 2), "b": (len(x), 1)}
    alone = jax.jit(lambda v: model.apply(v, x, tasks=("b",)))(variables)
    assert_close(alone, {"b": everything["b"]})


@every_way
def test_a_loss_is_felt_by_no_other_tasks_parameters(name, model, x):
    variables = dict(init(model, x))
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


@pytest.mark.parametrize(
    ("model", "x"),
    [*((m, X) for m in ON_VECTORS.values()), *((ON_IMAGES[n], IMAGES) for n in ("CrossStitch", "MTAN", "PADNet"))],
    ids=[*ON_VECTORS, "CrossStitch-4d", "MTAN", "PADNet"],
)
def test_activations_computed_again_give_the_same_gradient(model, x):
    variables = dict(init(model, x))
    params, rest = variables.pop("params"), variables

    def gradient(model):
        def loss(params):
            predictions = model.apply({"params": params, **rest}, x)
            return sum(jnp.sum(p**2) for p in predictions.values())

        return jax.grad(loss)

    again = gradient(model.clone(remat=True))
    assert "prevent_cse=True" in str(jax.make_jaxpr(again)(params))
    assert_close(*jax.jit(lambda params: (again(params), gradient(model)(params)))(params))


def test_cross_stitch_at_the_identity_is_networks_of_their_own():
    model = mtl.CrossStitch(MLP, HEADS, alpha="identity")
    variables = init(model, X)
    alone = {"params": without(variables["params"], "stitch")}
    assert_close(model.apply(variables, X), mtl.SingleTask(MLP, HEADS).apply(alone, X))


def test_cross_stitch_at_equal_shares_gives_all_networks_the_mean():
    unit = stitched._Stitch((1 / 3, 2 / 3), per_channel=True)
    number = 3
    inputs = [jax.random.normal(jax.random.key(i), (2, 4, 4, 5)) for i in range(number)]
    mixed, variables = unit.init_with_output(jax.random.key(0), inputs)
    assert variables["params"]["alpha"].shape == (3, 3, 5)
    for x in mixed:
        np.testing.assert_allclose(x, sum(inputs) / number, rtol=1e-5, atol=1e-6)


def test_a_stitch_is_the_papers_sum_for_each_channel():
    unit = stitched._Stitch((0.9, 0.1), per_channel=True)
    alpha = jax.random.normal(jax.random.key(3), (2, 2, 5))
    a, b = jax.random.normal(jax.random.key(4), (2, 7, 5))
    found = unit.apply({"params": {"alpha": alpha}}, [a, b])
    np.testing.assert_allclose(found[1], alpha[1, 0] * a + alpha[1, 1] * b, rtol=1e-5)


def test_nddr_and_sluice_at_the_identity_are_networks_of_their_own():
    for encoder, x in ((MLP, X), (CONV, IMAGES)):
        single = mtl.SingleTask(encoder, HEADS)
        nddr = mtl.NDDR(encoder, HEADS, start="identity", norm="none", shortcut=False)
        variables = init(nddr, x)
        alone = {"params": without(variables["params"], "fusion")}
        assert_close(nddr.apply(variables, x), single.apply(alone, x))
        sluice = mtl.Sluice(encoder, HEADS, alpha="identity")
        variables = init(sluice, x)["params"]
        last_only = {"stitch_beta": jnp.tile(jnp.array([0.0, 1.0]), (K, 1))} if x is X else {}
        alone = {"params": without(variables, "stitch")}
        assert_close(sluice.apply({"params": variables | last_only}, x), single.apply(alone, x))


def test_an_nddr_layer_is_the_authors():
    """A product, a normalisation, a ReLU: as much negative as positive goes in, and nothing negative comes out."""
    for relu in (True, False):
        layer = nddr._Projections(0, K, (0.9, 0.1), "group", None, relu)
        joined = jax.random.normal(jax.random.key(7), (4, 2 * 8))
        out, variables = layer.init_with_output(jax.random.key(0), "fc", joined, False)
        mixed = joined @ variables["params"]["fc"]["kernel"]
        wanted = Norm("group").apply({"params": variables["params"]["fc_norm"]}, mixed)
        assert (wanted < -0.5).any()
        np.testing.assert_allclose(out, jnp.maximum(wanted, 0) if relu else wanted, rtol=1e-5, atol=1e-6)


def test_the_penalty_of_sluice_is_zero_for_orthogonal_halves():
    a, b = jnp.array([[1.0, 0.0]]).T, jnp.array([[0.0, 1.0]]).T
    assert stitched._correlation(a, b) == 0
    np.testing.assert_allclose(stitched._correlation(a, 3 * a), 1.0, rtol=1e-5)


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
    assert_close(model.apply({"params": params}, IMAGES), mtl.MultiTask(CONV, HEADS).apply(hard, IMAGES))
    assert not np.allclose(
        model.apply({"params": variables}, IMAGES)["a"], model.apply({"params": params}, IMAGES)["a"]
    )


def test_one_expert_is_multitask():
    model = mtl.MMoE(HEADS, MLP, experts=1)
    params = init(model, X)["params"]
    hard = {"params": {"encoder": params["shared_experts_0"], **{f"heads_{t}": params[f"heads_{t}"] for t in HEADS}}}
    assert_close(model.apply({"params": params}, X), mtl.MultiTask(MLP, HEADS).apply(hard, X))


def test_mmoe_is_its_definition():
    model = mtl.MMoE(HEADS, MLP, experts=3)
    params = init(model, X)["params"]
    gate = jax.nn.softmax(X @ params["gates_b"]["logits"]["kernel"])
    experts = [MLP.apply({"params": params[f"shared_experts_{e}"]}, X) for e in range(3)]
    z = sum(gate[:, e, None] * experts[e] for e in range(3))
    wanted = HEADS["b"].apply({"params": params["heads_b"]}, z)
    assert_close(model.apply({"params": params}, X), {**model.apply({"params": params}, X), "b": wanted})


def test_ple_with_one_level_is_cgc():
    cgc = mtl.CGC(HEADS, MLP, shared=2, own=1)
    ple = mtl.PLE(HEADS, MLP, shared=2, own=1, levels=1)
    variables = init(cgc, X)
    assert_close(cgc.apply(variables, X), ple.apply(variables, X))
    gate = jax.nn.softmax(X @ variables["params"]["gates_a_0"]["logits"]["kernel"])
    parts = [variables["params"][n] for n in ("own_experts_a_0_0", "shared_experts_0_0", "shared_experts_0_1")]
    z = sum(gate[:, e, None] * MLP.apply({"params": part}, X) for e, part in enumerate(parts))
    wanted = HEADS["a"].apply({"params": variables["params"]["heads_a"]}, z)
    np.testing.assert_allclose(cgc.apply(variables, X)["a"], wanted, rtol=1e-5, atol=1e-6)


def test_branches_are_sampled_in_training_and_fixed_after():
    model = mtl.LearnToBranch(MLP, HEADS, nodes=2, annealing=4, temperature=(10.0, 0.1))
    variables = dict(init(model, X))
    params = dict(variables["params"])
    params["branch_layer2"] = jnp.array([[0.0, 1.0], [1.0, 0.0]])
    params |= {"branch_a": jnp.array([1.0, 0.0]), "branch_b": jnp.array([0.0, 1.0])}
    variables["params"] = params
    found = model.apply(variables, X)

    def dense(node, layer, x):
        part = params[f"nodes_{node}"][f"Dense_{layer}"]
        return jax.nn.relu(x @ part["kernel"] + part["bias"])

    through = {"a": dense(0, 1, dense(1, 0, X)), "b": dense(1, 1, dense(0, 0, X))}
    for task, z in through.items():
        wanted = HEADS[task].apply({"params": params[f"heads_{task}"]}, z)
        np.testing.assert_allclose(found[task], wanted, rtol=1e-5, atol=1e-6)
    outputs = []
    for i in range(3):
        rngs = {"dropout": jax.random.key(i)}
        out, changed = model.apply(variables, X, train=True, rngs=rngs, mutable=["annealing"])
        variables |= changed
        outputs.append(np.asarray(out["a"]))
    assert variables["annealing"]["steps"] == 3
    assert not np.allclose(outputs[0], outputs[1])


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


@pytest.mark.parametrize("name", ["CrossStitch", "Sluice", "NDDR", "LearnToBranch", "PLE", "DSelectK"])
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
