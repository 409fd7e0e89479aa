"""Encoders of other libraries: NNX modules, outputs as Hugging Face has them, features that are trees."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import mtljax as mtl
from mtljax.models.parts.tokens import features_of

HEADS = {"a": mtl.heads.Linear(2), "b": mtl.heads.Linear(1)}
VECTORS = jax.random.normal(jax.random.key(1), (8, 6))
IMAGES = jnp.ones((2, 16, 32, 3))


class Net(nnx.Module):
    """With dropout and statistics, in a list too: what `train()` and `eval()` are for."""

    def __init__(self, inputs, width, *, rngs):
        self.first, self.norm = nnx.Linear(inputs, width, rngs=rngs), nnx.BatchNorm(width, rngs=rngs)
        self.more = nnx.List([nnx.Linear(width, width, rngs=rngs)])
        self.dropped = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.dropped(self.more[0](self.norm(self.first(x))))


class Told(Net):
    """One that is told by an argument."""

    def __call__(self, x, deterministic):
        return self.dropped(self.first(x), deterministic=deterministic)


def both(model, x, number=1):
    """Predictions and changed statistics in training, and those afterwards."""

    @jax.jit
    def found(key):
        variables = model.init(jax.random.key(0), x)
        trained, changed = model.apply(variables, x, train=True, rngs={"dropout": key}, mutable=["batch_stats"])
        return variables, trained["a"], changed.get("batch_stats", {}), model.apply(variables, x)["a"]

    return found(jax.random.key(number))


def test_a_module_of_nnx_is_told_of_training():
    model = mtl.MultiTask(nnx.bridge.to_linen(Net, 6, width=4), HEADS)
    variables, trained, statistics, after = both(model, VECTORS)
    assert {"encoder", "heads_a", "heads_b"} == {*variables["params"]}
    assert variables["params"]["encoder"]["first"]["kernel"].shape == (6, 4)
    assert not np.allclose(trained, after)
    assert not np.allclose(trained, both(model, VECTORS, number=2)[1]), "dropout draws from the key that it is given"
    np.testing.assert_array_equal(after, model.apply(variables, VECTORS, train=False)["a"])
    assert float(abs(statistics["encoder"]["norm"]["mean"]).max()) > 0
    assert float(abs(variables["batch_stats"]["encoder"]["norm"]["mean"]).max()) == 0
    assert set(jax.tree.leaves(model.groups(variables["params"]))) == {"shared", "a", "b"}


def test_a_module_of_nnx_is_what_it_is_without_us():
    model = mtl.MultiTask(nnx.bridge.to_linen(Net, 6, width=4), HEADS)
    variables = jax.jit(model.init)(jax.random.key(0), VECTORS)
    net = Net(6, 4, rngs=nnx.Rngs(0))
    net.eval()
    own = variables["params"]["encoder"]
    assert {*own["more"]} == {"0"}, "checkpoints know no numbers as names"
    nnx.update(net, own | {"more": {0: own["more"]["0"]}})
    found = model.apply(variables, VECTORS, method="encode")
    np.testing.assert_allclose(found, net(VECTORS), rtol=1e-5, atol=1e-6)


def test_a_module_of_nnx_that_asks_for_it_is_given_the_argument():
    _, trained, _, after = both(mtl.MultiTask(nnx.bridge.to_linen(Told, 6, 4), HEADS), VECTORS)
    assert not np.allclose(trained, after)


@pytest.mark.parametrize("way", [mtl.SingleTask, lambda e, h: mtl.MMoE(h, e, experts=2)], ids=["SingleTask", "MMoE"])
def test_copies_of_a_module_of_nnx_differ(way):
    params = jax.jit(way(nnx.bridge.to_linen(Net, 6, 4), HEADS).init)(jax.random.key(0), VECTORS)["params"]
    kernels = [leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params) if leaf.shape == (6, 4)]
    assert len(kernels) == 2
    assert not np.allclose(*kernels)


@pytest.mark.parametrize("part", [Net, Net(6, 4, rngs=nnx.Rngs(0))], ids=["class", "object"])
def test_a_module_of_nnx_itself_is_refused_with_the_way_to_give_it(part):
    with pytest.raises(TypeError, match=r"MultiTask\(encoder=...\) is of NNX: Net; expected .*to_linen\(Net, ...\)`"):
        mtl.MultiTask(part, HEADS)


class Output(dict):
    """As Hugging Face's outputs: a dict with attributes."""

    __getattr__ = dict.__getitem__


class Patches(nn.Module):
    """Small, and called as Hugging Face's Flax modules are."""

    extra: int = 1

    @nn.compact
    def __call__(self, pixel_values, deterministic=True, return_dict=True):
        x = nn.Conv(8, (4, 4), (4, 4))(pixel_values).reshape(len(pixel_values), -1, 8)
        x = jnp.concatenate([jnp.zeros((len(x), self.extra, 8)), x], axis=1)
        return Output(last_hidden_state=nn.Dropout(0.5)(x, deterministic=deterministic))


@pytest.mark.parametrize("remat", [False, True])
def test_tokens_become_maps(remat):
    heads = {"a": mtl.heads.Dense(3), "b": mtl.heads.Linear(1)}
    model = mtl.MultiTask(Patches(), heads, remat=remat)
    variables, trained, _, after = both(model, IMAGES)
    assert after.shape == (2, 16, 32, 3)
    assert model.apply(variables, IMAGES, method="encode").shape == (2, 4, 8, 8)
    assert not np.allclose(trained, after)


@pytest.mark.parametrize(("extra", "fits"), [(0, True), (5, True), (6, False)])
def test_tokens_before_those_of_patches_are_left_out(extra, fits):
    output = Output(last_hidden_state=jnp.arange(extra + 32.0).reshape(1, -1, 1))
    if fits:
        np.testing.assert_array_equal(features_of(output, IMAGES).ravel(), extra + np.arange(32.0))
        return
    with pytest.raises(ValueError, match="38 tokens are not those of square patches of images 16 x 32"):
        features_of(output, IMAGES)


def test_other_outputs_are_refused():
    with pytest.raises(ValueError, match=r"Output.last_hidden_state has shape \(2, 8, 4, 4\), .* Wrap the encoder"):
        features_of(Output(last_hidden_state=jnp.ones((2, 8, 4, 4))), IMAGES)


def test_a_vision_transformer_of_hugging_face():
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, "FlaxViTModel"):
        pytest.skip("this release has no Flax models")
    from transformers.models.vit.modeling_flax_vit import FlaxViTModule

    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=4, hidden_dropout_prob=0.5
    )
    model = mtl.MultiTask(FlaxViTModule(config, add_pooling_layer=False), {"a": mtl.heads.Dense(3)})
    images = jnp.ones((2, 16, 16, 3))
    _, trained, _, after = both(model, images)
    assert after.shape == (2, 16, 16, 3)
    assert not np.allclose(trained, after)


class Two(nn.Module):
    """Features that are a tree."""

    @nn.compact
    def __call__(self, x):
        return {"map": nn.Conv(4, (3, 3))(x), "vector": nn.Dense(5)(x.mean(axis=(1, 2)))}


class Reads(nn.Module):
    """A head that takes its part of the tree."""

    key: str

    @nn.compact
    def __call__(self, features):
        return nn.Dense(1)(features[self.key])


def test_features_may_be_a_tree():
    model = mtl.MultiTask(Two(), {"a": Reads("map"), "b": Reads("vector")}, gradient_scale={"a": 0.5})
    found, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), IMAGES)
    assert (found["a"].shape, found["b"].shape) == ((2, 16, 32, 1), (2, 1))
    with pytest.raises(ValueError, match=r"features are a dict of map, vector; expected a head of your own"):
        jax.eval_shape(mtl.MultiTask(Two(), HEADS).init, jax.random.key(0), IMAGES)
