import collections

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import mtljax as mtl
from tests.models.toys import random_like

IMAGES = jnp.linspace(0, 1, 2 * 16 * 16 * 3).reshape(2, 16, 16, 3)


def small(**heads):
    heads = heads or {"segment": mtl.heads.Dense(5, width=8), "depth": mtl.heads.Dense(1, width=8)}
    return mtl.MultiTask(encoder=mtl.encoders.ResNet(depth=10, width=4, norm="group", stem="patch2"), heads=heads)


@pytest.fixture(scope="module")
def variables():
    return random_like(jax.eval_shape(small().init, jax.random.key(0), IMAGES))


def test_gives_a_prediction_a_task_at_image_size(variables):
    predictions = jax.eval_shape(small().apply, variables, IMAGES)
    assert jax.tree.map(jnp.shape, dict(predictions)) == {"segment": (2, 16, 16, 5), "depth": (2, 16, 16, 1)}
    assert set(variables) == {"params"}
    assert set(variables["params"]) == {"encoder", "heads_segment", "heads_depth"}


def test_frames_of_a_clip_are_encoded_alone(variables):
    clips = jnp.stack([IMAGES, IMAGES[::-1]], axis=1)
    predictions, alone = jax.jit(lambda v: (small().apply(v, clips), small().apply(v, IMAGES)["depth"]))(variables)
    assert predictions["depth"].shape == (2, 2, 16, 16, 1)
    np.testing.assert_allclose(predictions["depth"][:, 0], alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(predictions["depth"][:, 1], alone[::-1], rtol=1e-4, atol=1e-5)
    single = jax.eval_shape(small().apply, variables, IMAGES[:, None])
    assert single["depth"].shape == (2, 1, 16, 16, 1)


def test_a_subset_of_tasks_costs_only_what_it_needs(variables):
    def flops(tasks):
        function = jax.jit(lambda v: small().apply(v, IMAGES, tasks=tasks))
        return function.lower(variables).compile().cost_analysis()["flops"]

    assert set(jax.eval_shape(lambda v: small().apply(v, IMAGES, tasks=("depth",)), variables)) == {"depth"}
    assert flops(("depth",)) < 0.8 * flops(None)


def test_groups_name_every_parameter(variables):
    groups = small().groups(variables["params"])
    assert set(jax.tree.leaves(groups["encoder"])) == {"shared"}
    assert set(jax.tree.leaves(groups["heads_depth"])) == {"depth"}
    assert jax.tree.structure(groups) == jax.tree.structure(variables["params"])


def test_any_pure_pair_will_do():
    pair = collections.namedtuple("Pair", "init apply")
    encoder = pair(lambda key, x: {"w": jax.random.normal(key, (3, 4))}, lambda params, x: jnp.tanh(x @ params["w"]))
    head = (lambda key, z: jnp.ones((z.shape[-1], 2)), lambda params, z: z @ params)
    model = mtl.MultiTask(encoder=encoder, heads={"a": head, "b": mtl.heads.Linear(3)})
    variables = jax.jit(model.init)(jax.random.key(0), jnp.ones((5, 3)))
    out = model.apply(variables, jnp.ones((5, 3)))
    assert out["a"].shape == (5, 2)
    assert out["b"].shape == (5, 3)
    np.testing.assert_allclose(
        out["a"], jnp.tanh(jnp.ones((5, 3)) @ variables["params"]["encoder"]["pair"]["w"]) @ jnp.ones((4, 2)), rtol=1e-5
    )
    assert set(jax.tree.leaves(model.groups(variables["params"]))) == {"shared", "a", "b"}


def test_a_linen_module_may_be_shared_with_other_code():
    class Mine(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(4)(x)

    model = mtl.MultiTask(encoder=Mine(), heads={"a": mtl.heads.Linear(1)})
    assert model.init_with_output(jax.random.key(0), jnp.ones((2, 3)))[0]["a"].shape == (2, 1)


class AddParents(nn.Module):
    @nn.compact
    def __call__(self, features, parents):
        return sum(parents.values()) + mtl.heads.Linear(1)(features)


def test_heads_take_their_parents_predictions_in_the_order_of_the_hierarchy():
    heads = {"c": AddParents(), "b": AddParents(), "a": mtl.heads.Linear(1)}
    model = mtl.MultiTask(mtl.encoders.MLP((4,)), heads, parents={"b": ("a",), "c": ("a", "b")})
    x = jnp.ones((2, 3))
    variables = jax.jit(model.init)(jax.random.key(0), x)
    out = model.apply(variables, x)
    assert list(out) == ["c", "b", "a"]
    head = variables["params"]["heads_c"]["Linear_0"]["Dense_0"]
    z = model.apply(variables, x, method="encode")
    np.testing.assert_allclose(out["c"], out["a"] + out["b"] + z @ head["kernel"] + head["bias"], rtol=1e-5)
    assert set(model.apply(variables, x, tasks=("b",))) == {"b"}


def test_parents_in_a_circle_are_refused():
    heads = {"a": AddParents(), "b": AddParents()}
    model = mtl.MultiTask(mtl.encoders.MLP((4,)), heads, parents={"a": ("b",), "b": ("a",)})
    with pytest.raises(ValueError, match="each other's parents: a -> b -> a"):
        model.init(jax.random.key(0), jnp.ones((2, 3)))


def test_a_head_that_asks_for_frames_sees_the_whole_clip():
    class Motion(nn.Module):
        @nn.compact
        def __call__(self, features, frames, size, camera):
            assert size == (16, 16)
            assert camera["intrinsics"].shape == (2, 3, 3)
            z = mtl.encoders.global_pool(features)
            return nn.Dense(6)(z.reshape(-1, frames * z.shape[-1]))

    model = small(motion=Motion())
    clips = jnp.stack([IMAGES, IMAGES], axis=1)
    camera = {"intrinsics": jnp.ones((2, 3, 3))}
    out, _ = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), clips, camera=camera))
    assert out["motion"].shape == (2, 6)


def test_nnx_users_reuse_it():
    x = jnp.ones((2, 3))
    linen = mtl.MultiTask(mtl.encoders.MLP((4,)), {"a": mtl.heads.Linear(2), "b": mtl.heads.Linear(1)})
    model = nnx.bridge.ToNNX(linen, rngs=nnx.Rngs(0)).lazy_init(x)
    out = model(x)
    assert {task: p.shape for task, p in out.items()} == {"a": (2, 2), "b": (2, 1)}
    gradient = nnx.grad(lambda m: sum(p.sum() for p in m(x).values()))(model)
    assert any(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(gradient))


def test_batch_statistics_move_in_training_only():
    model = mtl.MultiTask(
        mtl.encoders.ResNet(depth=10, width=4, norm="batch", stem="patch2"), {"a": mtl.heads.Linear(2)}
    )
    variables = random_like(jax.eval_shape(model.init, jax.random.key(0), IMAGES))
    assert set(variables) == {"params", "batch_stats"}
    jax.eval_shape(model.apply, variables, IMAGES)
    _, changed = jax.jit(lambda v: model.apply(v, IMAGES, train=True, mutable=["batch_stats"]))(variables)
    different = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), variables["batch_stats"], changed["batch_stats"])
    assert any(jax.tree.leaves(different))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mtl.MultiTask(encoder=3, heads={}), r"MultiTask\(encoder=...\) is 3; expected a Flax Linen module"),
        (lambda: mtl.MultiTask(mtl.encoders.MLP(), {"a": "Dense"}), "expected a Flax Linen module"),
        (lambda: jax.eval_shape(small().init, jax.random.key(0), jnp.ones((4, 4, 3))), r"got \(4, 4, 3\)"),
        (
            lambda: jax.eval_shape(small().init, jax.random.key(0), jnp.ones((4, 3))),
            r"ResNet takes images \(B, H, W, C\)",
        ),
        (
            lambda: mtl.MultiTask(mtl.encoders.MLP(), {"a": mtl.heads.Dense(1)}).init(
                jax.random.key(0), jnp.ones((2, 3))
            ),
            "image encoder such as ResNet",
        ),
        (
            lambda: mtl.encoders.ResNet(depth=19).init(jax.random.key(0), IMAGES),
            r"ResNet\(depth=19\): expected one of 10, 18",
        ),
        (
            lambda: mtl.encoders.ResNet(stem="tiny").init(jax.random.key(0), IMAGES),
            "expected one of imagenet, small, patch2",
        ),
        (lambda: mtl.encoders.ResNet(norm="layer").init(jax.random.key(0), IMAGES), "norm='layer'; expected one of"),
    ],
)
def test_misuse_is_told(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_an_unknown_task_is_told(variables):
    with pytest.raises(ValueError, match="no head for task 'dept'; the model has segment, depth"):
        jax.eval_shape(lambda v: small().apply(v, IMAGES, tasks=("dept",)), variables)


@pytest.mark.parametrize("scale", [{"a": 0.5, "b": 0.25}, {"b": 0.0}])
def test_gradients_are_scaled_between_a_head_and_the_features(scale):
    """Predictions and heads' gradients are the same to the last bit; the encoder's are the tasks', scaled."""
    heads = {"a": mtl.heads.Linear(2), "b": mtl.heads.Linear(1), "c": mtl.heads.Parents()}
    parents, x = {"c": ("a",)}, jnp.linspace(-1, 1, 12).reshape(4, 3)
    plain, scaled = (mtl.MultiTask(mtl.encoders.MLP((5,)), heads, parents, gradient_scale=s) for s in (None, scale))
    params = jax.jit(plain.init)(jax.random.key(0), x)["params"]

    def losses(model):
        def losses_fn(params):
            out = model.apply({"params": params}, x)
            return jnp.sum(jnp.sin(out["a"])), jnp.sum(out["b"] ** 2), jnp.sum(jnp.cos(out["c"]["a"]))

        return jax.jit(mtl.value_and_jacobian(losses_fn))(params)

    (values, before), (values_scaled, after) = losses(plain), losses(scaled)
    np.testing.assert_array_equal(values, values_scaled)
    for head in ("heads_a", "heads_b"):
        jax.tree.map(np.testing.assert_array_equal, before[head], after[head])
    for was, found in zip(*(jax.tree.leaves(jacobian["encoder"]) for jacobian in (before, after)), strict=True):
        # What c has through its parent a is scaled as a's features are.
        for row, task in enumerate(("a", "b", "a")):
            assert np.any(was[row])
            np.testing.assert_array_equal(found[row], scale.get(task, 1.0) * was[row])


def test_a_scale_for_an_unknown_task_is_told():
    with pytest.raises(ValueError, match="unknown task in gradient_scale 'dept'; did you mean 'depth'"):
        mtl.MultiTask(mtl.encoders.MLP(), {"depth": mtl.heads.Linear(1)}, gradient_scale={"dept": 0.9})
