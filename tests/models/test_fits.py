"""What fits together and what does not: every way to share on every encoder, with every stage, on images of any rank."""

import jax
import jax.numpy as jnp
import pytest

import mtljax as mtl
from tests.models.toys import CONV, HEADS, MLP, ways

IMAGES, SMALL, VECTORS = jnp.ones((2, 32, 32, 3)), jnp.ones((2, 28, 28, 1)), jnp.ones((2, 6))
ENCODERS = {
    "MLP": (MLP, VECTORS),
    "MLP on images": (MLP, SMALL),
    "LeNet": (mtl.encoders.LeNet(width=8), SMALL),
    "AlexNet": (mtl.encoders.AlexNet(width=0.25, hidden=8), IMAGES),
    "AlexNet(dense=False)": (mtl.encoders.AlexNet(dense=False, width=0.25, hidden=8), IMAGES),
    "ResNet": (mtl.encoders.ResNet(depth=10, width=8, norm="none"), IMAGES),
    "UNet": (CONV, IMAGES),
    "ViT": (mtl.encoders.ViT("Ti", depth=1), IMAGES),
}
JOINED = (mtl.CrossStitch, mtl.Sluice, mtl.NDDR)


def shapes(model, x):
    """Of the predictions."""
    predictions, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), x)
    return jax.tree.map(lambda p: p.shape, predictions)


@pytest.mark.parametrize("name", [n for n in ENCODERS if n not in ("ResNet", "UNet")])
@pytest.mark.parametrize("way", JOINED)
def test_networks_are_joined_after_any_stages(way, name):
    """Or it is told that they cannot be, and what can."""
    encoder, x = ENCODERS[name]
    kwargs = {"shortcut": False} if way is mtl.NDDR else {}
    for stages in (None, encoder.stages[:1]):
        assert shapes(way(encoder, HEADS, stages=stages, **kwargs), x) == {"a": (2, 2), "b": (2, 1)}, stages


@pytest.mark.parametrize(
    ("name", "stages", "message"),
    [
        ("AlexNet(dense=False)", None, r"of shape \(2, 8\).*none of pool1, .* has as many axes. Expected shortcut=False\."),
        ("LeNet", ("conv1",), r"none of conv1 has as many axes. Expected shortcut=False, or one of fc in stages\."),
        ("ViT", ("embed",), r"none of embed has as many axes. Expected shortcut=False, or one of map in stages\."),
        ("MLP", (), r"none of no stages has .* one of layer1, layer2 in stages\."),
        ("LeNet", None, None),
        ("ViT", None, None),
        ("ResNet", ("stem",), None),
    ],
)  # fmt: skip
def test_a_shortcut_is_made_of_what_there_is_or_refused(name, stages, message):
    encoder, x = ENCODERS[name]
    model = mtl.NDDR(encoder, HEADS, stages=stages)
    if message is None:
        assert shapes(model, x) == {"a": (2, 2), "b": (2, 1)}
        return
    with pytest.raises(ValueError, match=message):
        shapes(model, x)


@pytest.mark.parametrize("way", JOINED)
def test_stages_are_several_names(way):
    with pytest.raises(ValueError, match=r"stages='layer1'\): expected a tuple of names"):
        way(MLP, HEADS, stages="layer1")


def test_sluice_scales_an_output_that_is_no_stages():
    encoder, x = ENCODERS["AlexNet(dense=False)"]
    params = jax.eval_shape(mtl.Sluice(encoder, HEADS).init, jax.random.key(0), x)["params"]
    assert params["stitch_beta"].shape == (2, 1)


@pytest.mark.parametrize("name", ["LeNet", "AlexNet(dense=False)", "MLP on images"])
@pytest.mark.parametrize("way", [mtl.MTAN, mtl.PADNet])
def test_ways_that_want_maps_say_so(way, name):
    encoder, x = ENCODERS[name]
    with pytest.raises(ValueError, match=r"feature maps; .* gives shapes"):
        shapes(way(encoder, HEADS), x)


@pytest.mark.parametrize("shape", [(), (3,), (8, 8, 3), (2, 1, 1, 8, 8, 3)])
@pytest.mark.parametrize("encoder", [MLP, CONV], ids=["MLP", "UNet"])
def test_images_of_another_rank_are_refused_by_every_model(encoder, shape):
    for name, model in ways(encoder).items():
        for call in (model.init, lambda key, x, model=model: model.apply({"params": {}}, x)):
            with pytest.raises(ValueError, match=r"takes images \(B, H, W, C\), clips \(B, s, H, W, C\)") as told:
                jax.eval_shape(call, jax.random.key(0), jnp.ones(shape))
            assert name in str(told.value)
            assert f"got {shape}" in str(told.value)
