"""Weights of PyTorch's models in ours: the same outputs, and every tensor accounted for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from mtljax.errors import UserError
from mtljax.models import encoders, pretrained
from mtljax.models.parts.normalise import normalised
from tests.models.toys import random_like


def made(encoder, size=64):
    images = jnp.zeros((1, size, size, 3))
    return jax.jit(lambda key: encoder.init(key, images))(jax.random.key(0))


def torch_names(number):
    """A ViT of one block as timm names it, with random weights."""
    rng = np.random.default_rng(number)
    w, norm = 192, {"weight": (192,), "bias": (192,)}
    shapes = {"cls_token": (1, 1, w), "pos_embed": (1, 17, w), "patch_embed.proj.weight": (w, 3, 16, 16),
              "patch_embed.proj.bias": (w,), "head.weight": (10, w), "head.bias": (10,)}  # fmt: skip
    shapes |= {f"{n}.{k}": s for n in ("blocks.0.norm1", "blocks.0.norm2", "norm") for k, s in norm.items()}
    for name, (o, i) in {
        "attn.qkv": (3 * w, w),
        "attn.proj": (w, w),
        "mlp.fc1": (4 * w, w),
        "mlp.fc2": (w, 4 * w),
    }.items():
        shapes |= {f"blocks.0.{name}.weight": (o, i), f"blocks.0.{name}.bias": (o,)}
    return {name: rng.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}


def vit_by_hand(t, image):
    """timm's forward_features, written out in NumPy for one image (64, 64, 3) and one block."""

    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return x * t[f"{name}.weight"] + t[f"{name}.bias"]

    def linear(x, name):
        return x @ t[f"{name}.weight"].T + t[f"{name}.bias"]

    patches = image.reshape(4, 16, 4, 16, 3).transpose(0, 2, 4, 1, 3).reshape(16, -1)
    x = patches @ t["patch_embed.proj.weight"].reshape(192, -1).T + t["patch_embed.proj.bias"]
    x = np.concatenate([t["cls_token"][0], x]) + t["pos_embed"][0]
    q, k, v = linear(norm(x, "blocks.0.norm1"), "blocks.0.attn.qkv").reshape(17, 3, 3, 64).transpose(1, 2, 0, 3)
    attention = np.asarray(jax.nn.softmax(q @ k.transpose(0, 2, 1) / 8))
    x = x + linear((attention @ v).transpose(1, 0, 2).reshape(17, 192), "blocks.0.attn.proj")
    hidden = np.asarray(jax.nn.gelu(linear(norm(x, "blocks.0.norm2"), "blocks.0.mlp.fc1"), approximate=False))
    x = x + linear(hidden, "blocks.0.mlp.fc2")
    return norm(x, "norm")[1:].reshape(4, 4, 192)


@pytest.fixture
def vit_file(tmp_path):
    file = tmp_path / "vit.safetensors"
    save_file(torch_names(0), file)
    return file


def test_a_vit_gives_what_the_original_gives(vit_file):
    encoder = encoders.ViT("Ti", depth=1)
    variables = pretrained.load(vit_file, encoder, made(encoder))
    image = np.random.default_rng(1).uniform(size=(64, 64, 3)).astype(np.float32)
    [found] = jax.jit(encoder.apply)(variables, image[None])
    np.testing.assert_allclose(found[0], vit_by_hand(torch_names(0), image), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("encoder", "mean", "deviation"), [
    (encoders.ResNet(depth=10, width=4, norm="group"), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    (encoders.AlexNet(width=0.1, hidden=4), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    (encoders.ViT("Ti", depth=1), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
])  # fmt: skip
def test_images_are_normalised_as_the_weights_want(encoder, mean, deviation):
    images = np.random.default_rng(1).uniform(size=(1, 64, 64, 3)).astype(np.float32)
    by_hand = (images - np.array(mean, np.float32)) / np.array(deviation, np.float32)
    other = encoder.clone(normalise=True)
    named = "inception" if mean[0] == 0.5 else "imagenet"
    variables = random_like(jax.eval_shape(encoder.init, jax.random.key(0), images))
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(
        jnp.shape, jax.eval_shape(other.init, jax.random.key(0), images)
    )
    plain = jax.jit(encoder.apply, compiler_options={"xla_backend_optimization_level": 0})
    found = jax.jit(other.apply, compiler_options={"xla_backend_optimization_level": 0})(variables, images)
    for a, b, c in zip(found, plain(variables, by_hand), plain(variables, images), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        assert not np.allclose(a, c, rtol=1e-2)
    for way in (named, (mean, deviation)):
        np.testing.assert_allclose(normalised(images, way, "imagenet"), by_hand, rtol=1e-5, atol=1e-6)
    assert normalised(images, False, "imagenet") is images


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("imagenett", "unknown normalise= 'imagenett'; did you mean 'imagenet'"),
        (((0.5,), (0.5,)), r"for images of shape \(1, 2, 2, 3\): expected a pair"),
        ((0.5, 0.5), "expected a pair"),
        (((0.5,) * 3, (0.0,) * 3), "expected positive deviations"),
    ],
)
def test_what_cannot_normalise_is_told(by, message):
    with pytest.raises(UserError, match=message):
        normalised(jnp.ones((1, 2, 2, 3)), by, "imagenet")


@pytest.mark.parametrize("size", [(96, 96), (32, 128), (48, 16)])
def test_positions_of_a_vit_are_interpolated_to_other_sizes(vit_file, size):
    encoder = encoders.ViT("Ti", depth=1)
    variables = jax.eval_shape(encoder.init, jax.random.key(0), jnp.ones((1, *size, 3)))
    h, w = (length // 16 for length in size)
    across, down = np.meshgrid((np.arange(4) + 0.5) / 4, (np.arange(4) + 0.5) / 4)
    smooth = np.stack([np.ones((4, 4)), across, down] * 64, axis=-1).reshape(1, 16, 192)  # (1, x, y) at every position
    token = torch_names(0)["pos_embed"][:, :1]
    tensors = torch_names(0) | {"pos_embed": np.concatenate([token, smooth], axis=1).astype(np.float32)}
    save_file(tensors, vit_file)
    found = pretrained.load(vit_file, encoder, variables, size)["params"]["position"]
    np.testing.assert_array_equal(found[:, :1], token)
    cells = found[:, 1:].reshape(h, w, 64, 3)
    np.testing.assert_allclose(cells[..., 0], 1, rtol=1e-5)
    # Linear but for the borders, beyond which nothing is known.
    np.testing.assert_allclose(cells[:, :, 0, 1], np.tile((np.arange(w) + 0.5) / w, (h, 1)), atol=0.06)
    np.testing.assert_allclose(cells[:, :, 0, 2], np.tile((np.arange(h) + 0.5)[:, None] / h, (1, w)), atol=0.06)


def test_positions_for_the_grid_of_the_file_are_as_they_are(vit_file):
    encoder = encoders.ViT("Ti", depth=1)
    wanted = torch_names(0)["pos_embed"]
    square, wide = (
        jax.eval_shape(encoder.init, jax.random.key(0), jnp.ones((1, *s, 3))) for s in ((64, 64), (32, 128))
    )
    for size in (None, (64, 64)):
        np.testing.assert_array_equal(pretrained.load(vit_file, encoder, square, size)["params"]["position"], wanted)
    # As many positions, but elsewhere.
    other = pretrained.load(vit_file, encoder, wide, (32, 128))["params"]["position"]
    assert not np.allclose(other, wanted)
    with pytest.raises(UserError, match=r"not of square images; expected their size=\(H, W\)"):
        pretrained.load(vit_file, encoder, jax.eval_shape(encoder.init, jax.random.key(0), jnp.ones((1, 32, 64, 3))))


def change(tensors, name, to):
    return {k: v for k, v in tensors.items() if k != name} if to is None else tensors | {name: to}


@pytest.mark.parametrize(
    ("name", "to", "message"),
    [
        ("norm.weight", None, "has no tensor for params/norm/scale"),
        ("pos_embed", np.zeros((1, 196, 192), np.float32), r"'pos_embed' of shape \(1, 196, 192\) does not fit"),
        ("pos_embed", np.zeros((1, 17, 384), np.float32), r"'pos_embed' of shape \(1, 17, 384\) does not fit"),
        ("neck.weight", np.zeros((3, 3), np.float32), "'neck.weight' has no place"),
        ("extra", np.zeros(3, np.float32), "'extra' has no place"),
    ],
)
def test_every_tensor_is_accounted_for(vit_file, name, to, message):
    save_file(change(torch_names(0), name, to), vit_file)
    encoder = encoders.ViT("Ti", depth=1)
    with pytest.raises(UserError, match=message):
        pretrained.load(vit_file, encoder, made(encoder))


def test_what_cannot_be_read_is_named(tmp_path):
    encoder = encoders.ViT("Ti", depth=1)
    with pytest.raises(UserError, match=r"no file '.*gone\.pth'"):
        pretrained.load(tmp_path / "gone.pth", encoder, {})
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"bad\.safetensors' cannot be read"):
        pretrained.load(tmp_path / "bad.safetensors", encoder, {})
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"expected a \.safetensors or \.pth file"):
        pretrained.load(tmp_path / "bad.npz", encoder, {})
    with pytest.raises(UserError, match="'MLP'"):
        pretrained.load(tmp_path / "bad.npz", encoders.MLP(), {})


def torchvision_model(name):
    torchvision = pytest.importorskip(
        "torchvision", reason="compares with torchvision's models where they are installed"
    )
    import torch

    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(weights=None).eval()
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if "running" in key:
                tensor.uniform_(0.5, 1.5)
    return torch, model


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_resnet_gives_what_the_original_gives(tmp_path, name):
    torch, model = torchvision_model(name)
    torch.save(model.state_dict(), tmp_path / f"{name}.pth")
    encoder = encoders.ResNet(depth=int(name[6:]))
    variables = pretrained.load(tmp_path / f"{name}.pth", encoder, made(encoder))
    image = np.random.default_rng(1).uniform(size=(1, 64, 64, 3)).astype(np.float32)
    with torch.no_grad():
        x = model.maxpool(model.relu(model.bn1(model.conv1(torch.tensor(image).permute(0, 3, 1, 2)))))
        wanted = []
        for layer in (model.layer1, model.layer2, model.layer3, model.layer4):
            x = layer(x)
            wanted.append(x.permute(0, 2, 3, 1).numpy())
    for found, level in zip(jax.jit(encoder.apply)(variables, image), wanted, strict=True):
        np.testing.assert_allclose(found, level, rtol=1e-4, atol=1e-4 * np.abs(level).max())


def test_alexnet_gives_what_the_original_gives(tmp_path):
    torch, model = torchvision_model("alexnet")
    torch.save(model.state_dict(), tmp_path / "alexnet.pth")
    encoder = encoders.AlexNet(dense=False)
    variables = pretrained.load(tmp_path / "alexnet.pth", encoder, made(encoder, 224))
    image = np.random.default_rng(1).uniform(size=(1, 224, 224, 3)).astype(np.float32)
    with torch.no_grad():
        x = model.avgpool(model.features(torch.tensor(image).permute(0, 3, 1, 2))).flatten(1)
        wanted = model.classifier[:6](x).numpy()
    np.testing.assert_allclose(jax.jit(encoder.apply)(variables, image), wanted, rtol=1e-4, atol=1e-5)
