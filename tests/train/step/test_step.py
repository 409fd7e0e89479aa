import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mtljax as mtl
from mtljax import train
from mtljax.errors import UserError
from mtljax.train.config.experiment import balancer_of
from mtljax.train.step.gradients import balanced_gradient
from mtljax.train.step.last_layer import last_shared_layer
from tests.train import toys
from tests.train.toys import run

BALANCERS = ("equal", "pcgrad", "gradnorm")
MEASURES = ("shared", "last_layer", "features")


def losses_fn(params, batch, tasks=toys.TASKS):
    predictions = toys.model().apply({"params": params}, batch["image"])
    found = [task.loss(predictions[name], batch) for name, task in tasks.items()]
    return tuple(total / jnp.maximum(count, 1) for total, count in found)


@pytest.mark.parametrize(
    "balance", ["pcgrad", *(pytest.param(name, marks=pytest.mark.slow) for name in ("equal", "gradnorm"))]
)
def test_the_step_is_the_library_used_by_hand(balance):
    balancer = getattr(mtl, balance)(3)
    params = toys.setup()[0].params
    chain = optax.chain(balancer, optax.adam(1e-2))
    chain_state = chain.init(params)

    @jax.jit
    def by_hand(params, chain_state, batch):
        losses, jacobian = mtl.value_and_jacobian(losses_fn)(params, batch)
        updates, chain_state = chain.update(jacobian, chain_state, params, losses=losses)
        return optax.apply_updates(params, updates), chain_state

    for i in range(3):
        params, chain_state = by_hand(params, chain_state, toys.batch(i))
    (found, _), _ = run(balance=balance)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, dict(params))


MESH, SLOW = train.mesh, pytest.mark.slow


@pytest.mark.parametrize(
    ("balance", "measure", "norm", "spread"),
    [
        pytest.param("equal", "shared", "none", MESH, marks=SLOW),  # parameters in parts go its way
        ("pcgrad", "shared", "batch", MESH),
        pytest.param("gradnorm", "features", "batch", MESH, marks=SLOW),  # of pmap here, of a mesh above
        ("gradnorm", "features", "batch", train.pmap),
        pytest.param("pcgrad", "shared", "batch", train.pmap, marks=SLOW),
        pytest.param("pcgrad", "features", "none", lambda: train.mesh(data=4), marks=SLOW),
        pytest.param("db_mtl", "shared", "none", MESH, marks=SLOW),
        pytest.param("pcgrad", "last_layer", "none", MESH, marks=SLOW),  # parameters in parts go its way
        pytest.param("imtl", "last_layer", "none", train.pmap, marks=SLOW),
        pytest.param("graddrop", "features", "none", MESH, marks=SLOW),
        pytest.param("equal", "shared", "none", train.pmap, marks=SLOW),
        pytest.param("pcgrad", "features", "none", train.pmap, marks=SLOW),
        pytest.param("gradnorm", "shared", "none", MESH, marks=SLOW),
        pytest.param("gradnorm", "shared", "none", train.pmap, marks=SLOW),
        pytest.param("constant(weights=(2.0, 0.5, 1.0))", "shared", "none", MESH, marks=SLOW),
        pytest.param("mean", "shared", "none", MESH, marks=SLOW),
        pytest.param("graddrop", "shared", "none", MESH, marks=SLOW),
    ],
)
def test_one_device_and_many_give_the_same_numbers(balance, measure, norm, spread):
    """Methods of every kind, on eight devices or four of them."""
    kwargs = {"balance": balance, "measure": measure, "norm": norm, "optimizer": toys.SGD}
    alone, report_alone = run(**kwargs)
    many, report_many = run(spread=spread(), **kwargs)
    np.testing.assert_allclose(report_many["losses"], report_alone["losses"], rtol=1e-5)
    np.testing.assert_allclose(report_many["weights"], report_alone["weights"], rtol=1e-4, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), many, alone)


def test_independent_samples_are_parts_of_the_batch_on_one_device_and_on_many():
    balancer = mtl.modo(3, gamma=0.05)
    params = toys.setup()[0].params
    batch = {key: np.concatenate([value, value[:8]]) for key, value in toys.batch().items()}
    batch["c_valid"] = batch["c_valid"] & (np.arange(24)[:, None] % 3 == 0)
    gradient_of = balanced_gradient(toys.model(), toys.TASKS, balancer, "shared", axis_name="data")

    def replica(batch):
        found = gradient_of(params, {}, balancer.init(params), batch, jax.random.key(0))
        return found.gradient, found.losses, found.present

    def spread(number):
        parts = jax.tree.map(lambda x: x.reshape(number, -1, *x.shape[1:]), batch)
        return jax.jit(jax.vmap(replica, axis_name="data", out_axes=None))(parts)

    def thrice_a_part(params, part):
        predictions = toys.model().apply({"params": params}, part["image"])
        totals = [task.loss(predictions[name], part)[0] for name, task in toys.TASKS.items()]
        return tuple(3 * total / batch[f"{n}_valid"].sum() for n, total in zip(toys.TASKS, totals, strict=True))

    parts = [{key: value[i::3] for key, value in batch.items()} for i in range(3)]
    assert [part["c_valid"].any() for part in parts].count(False) == 2, "one part alone has labels of c"
    rows = jax.jit(mtl.value_and_jacobian(thrice_a_part))
    jacobians = [rows(params, part)[1] for part in parts]

    @jax.jit
    def by_hand(jacobians):
        mean = jax.tree.map(lambda *rows: sum(rows) / 3, *jacobians)
        direction, _ = balancer.update(mean, balancer.init(params), params, samples=jacobians)
        return direction, jnp.stack(losses_fn(params, batch))

    expected, plain = by_hand(jacobians)
    for number in (1, 4):
        gradient, losses, present = spread(number)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), gradient, expected)
        np.testing.assert_allclose(losses, plain, rtol=1e-5)
        assert present.all()


def test_loss_weights_scale_private_parameters_and_gradient_methods_do_not():
    params, batch = toys.setup()[0].params, toys.batch()
    weighted = ("constant(weights=(2.0, 0.5, 1.0))", 0.5, "shared")  # it looks at losses, whatever is measured
    cases = [weighted, ("mean", 1.0, "shared"), *(("imtl_g", 1.0, measure) for measure in MEASURES)]

    def of_head(text, measure, params):
        balancer = balancer_of(text, 3, seed=0)
        gradient_of = balanced_gradient(toys.model(), toys.TASKS, balancer, measure)
        return gradient_of(params, {}, balancer.init(params), batch, jax.random.key(0)).gradient["heads_b"]

    @jax.jit  # compiled together, which costs less
    def all_of_them(params):
        plain = jax.grad(lambda p: sum(losses_fn(p, batch)))(params)["heads_b"]
        return plain, [of_head(text, measure, params) for text, _, measure in cases]

    plain, found = all_of_them(params)
    for (_, factor, _), head in zip(cases, found, strict=True):
        jax.tree.map(lambda a, b, f=factor: np.testing.assert_allclose(a, f * b, rtol=1e-4, atol=1e-6), head, plain)


def test_a_measure_that_a_balancer_cannot_work_with_is_told():
    with pytest.raises(UserError, match="works with measure=shared, not 'features'"):
        balanced_gradient(toys.model(), toys.TASKS, mtl.moco(3), "features")


@pytest.mark.parametrize("measure", MEASURES)
def test_equal_weights_give_the_plain_gradient_whatever_is_measured(measure):
    everything = mtl.balance.from_rule(lambda seen, s: (jnp.ones(3), s), 3, sees="gramian")
    params = toys.setup()[0].params
    found = jax.jit(balanced_gradient(toys.model(), toys.TASKS, everything, measure))(
        params, {}, everything.init(params), toys.batch(), jax.random.key(0)
    )
    expected = jax.jit(jax.grad(lambda p: sum(losses_fn(p, toys.batch()))))(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found.gradient, expected)


def test_what_each_measure_looks_at():
    params = toys.setup()[0].params
    batch = toys.batch()
    balancer = mtl.imtl_g(3)

    @jax.jit  # compiled together, which costs less
    def cosines(params):
        ways = {measure: balanced_gradient(toys.model(), toys.TASKS, balancer, measure) for measure in MEASURES}
        given = ({}, balancer.init(params), batch, jax.random.key(0))
        return {measure: gradient_of(params, *given).gramian.cosines for measure, gradient_of in ways.items()}

    @jax.jit
    def by_hand(params):
        z = toys.model().apply({"params": params}, batch["image"], method="encode")
        jacobian = jax.jacrev(lambda p: jnp.stack(losses_fn(p, batch)))(params)
        return jacobian["encoder"], jax.jacrev(from_features)(z)

    def from_features(z):
        heads = {name: params[f"heads_{name}"]["Dense_0"] for name in toys.TASKS}
        predictions = {name: z @ h["kernel"] + h["bias"] for name, h in heads.items()}
        found = [task.loss(predictions[name], batch) for name, task in toys.TASKS.items()]
        return jnp.stack([total / count for total, count in found])

    found, (of_encoder, of_features) = cosines(params), by_hand(params)
    for measure, seen in {"shared": of_encoder, "last_layer": of_encoder["last"], "features": of_features}.items():
        rows = np.concatenate([np.reshape(leaf, (3, -1)) for leaf in jax.tree.leaves(seen)], axis=1)
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        np.testing.assert_allclose(found[measure], unit @ unit.T, rtol=1e-4, atol=1e-5)


def test_the_last_shared_layer_is_the_last_to_run():
    params = toys.setup()[0].params
    found = last_shared_layer(toys.model(), params, {}, toys.batch()["image"])
    marked = {jax.tree_util.keystr(path) for path, yes in jax.tree_util.tree_leaves_with_path(found) if yes}
    assert marked == {"['encoder']['last']['kernel']", "['encoder']['last']['bias']"}
    resnet = mtl.MultiTask(mtl.encoders.ResNet(depth=10, width=2), {"a": mtl.heads.Linear(1)})
    variables = jax.eval_shape(resnet.init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    stats = {"batch_stats": jax.tree.map(lambda s: jnp.ones(s.shape), variables["batch_stats"])}
    found = last_shared_layer(resnet, variables["params"], stats, jnp.ones(images.shape))
    marked = {jax.tree_util.keystr(path) for path, yes in jax.tree_util.tree_leaves_with_path(found) if yes}
    assert marked == {"['encoder']['stage4_block1']['conv2']['kernel']"}


def test_an_absent_task_is_reported_and_changes_nothing():
    state, step = toys.setup(balance="pcgrad")
    new, report = step(state, toys.batch(absent=("b",)))
    assert report["present"].tolist() == [True, False, True]
    assert report["losses"][1] == 0
    assert report["weights"][1] == 0
    assert bool(report["finite"])
    before, after = state.params["heads_b"], new.params["heads_b"]
    jax.tree.map(np.testing.assert_array_equal, before, after)


@pytest.mark.parametrize("balance", BALANCERS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_step_that_is_not_finite_is_skipped_and_counted(balance, bad):
    state, step = toys.setup(balance=balance)
    state, _ = step(state, toys.batch(0))
    skipped, report = step(state, toys.batch(1, bad=bad))
    assert not report["finite"]
    assert [int(skipped.step), int(skipped.skipped), int(skipped.skipped_in_row)] == [2, 1, 1]
    for part in ("params", "optimizer"):
        jax.tree.map(np.testing.assert_array_equal, getattr(skipped, part), getattr(state, part))
    np.testing.assert_array_equal(skipped.balance.weights, state.balance.weights)
    good, report = step(skipped, toys.batch(2))
    assert bool(report["finite"])
    assert [int(good.skipped), int(good.skipped_in_row)] == [1, 0]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(good.params))


def test_one_tasks_gradient_that_is_not_finite_skips_the_update():
    def broken_loss(prediction, batch):  # a finite loss whose gradient is not: d sqrt(x) at 0
        return jnp.sum(jnp.sqrt(prediction * 0.0)), jnp.float32(1)

    tasks = {**toys.TASKS, "b": mtl.Task(**{**vars(toys.TASKS["b"]), "loss": broken_loss})}
    params = toys.setup()[0].params
    for balance in ("equal", "imtl_g"):  # one that sees losses, one that sees gradients
        balancer = getattr(mtl, balance)(3)
        tx = train.partition({g: optax.sgd(1.0) for g in ("shared", *tasks)}, toys.model().groups(params))
        step = train.make_train_step(toys.model(), tasks, balancer, tx)
        state = train.create({"params": params}, balancer, tx)
        new, report = jax.jit(step)(state, toys.batch())
        assert not report["finite"]
        jax.tree.map(np.testing.assert_array_equal, new.params, params)


def test_costs_are_those_of_the_table():
    """FLOPs by cost_analysis, for an encoder that dwarfs the heads (DESIGN's cost table)."""
    width, tasks = 256, 3

    class Wide(toys.nn.Module):
        @toys.nn.compact
        def __call__(self, x):
            for i in range(4):
                x = jnp.tanh(toys.nn.Dense(width, use_bias=False, name=f"layer{i}")(x))
            return x

    model = mtl.MultiTask(Wide(), {name: task.head for name, task in toys.TASKS.items()})
    x = jnp.ones((1024, width))
    batch = {"image": x}
    for name, channels in toys.LABELS.items():
        batch |= {name: jnp.ones((1024, channels)), f"{name}_valid": jnp.ones((1024, 1), bool)}
    params = jax.jit(model.init)(jax.random.key(0), x)["params"]

    def products(balance, measure="shared"):
        """The number of products of the encoder's layer size that a gradient costs."""
        balancer = getattr(mtl, balance)(tasks)
        gradient_of = balanced_gradient(model, toys.TASKS, balancer, measure)

        def gradient(params):
            return gradient_of(params, {}, balancer.init(params), batch, jax.random.key(0)).gradient

        return jax.jit(gradient).lower(params).compile().cost_analysis()["flops"] / (2 * 1024 * width**2)

    forward, backward = 4, 4 + 3  # the input needs no gradient
    assert products("equal") == pytest.approx(forward + backward, rel=0.06)
    gramian = (tasks**2 * 4 * width**2) / (1024 * width**2)
    assert products("imtl_g") == pytest.approx(forward + tasks * backward + gramian, rel=0.06)
    assert products("imtl_g", "features") == pytest.approx(forward + backward, rel=0.1)
    assert products("imtl_g", "last_layer") == pytest.approx(forward + backward + tasks * 1, rel=0.15)


def test_an_unknown_measure_is_told():
    with pytest.raises(ValueError, match="unknown measure 'feature'; did you mean 'features'"):
        balanced_gradient(toys.model(), toys.TASKS, mtl.pcgrad(3), "feature")
