"""Weights of PyTorch's models in ours: the same outputs, and every tensor accounted for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from mtljax.errors import UserError
from mtljax.models import encoders, pretrained


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
    [found] = encoder.apply(variables, image[None])
    np.testing.assert_allclose(found[0], vit_by_hand(torch_names(0), image), rtol=1e-4, atol=1e-4)


def change(tensors, name, to):
    return {k: v for k, v in tensors.items() if k != name} if to is None else tensors | {name: to}


@pytest.mark.parametrize(
    ("name", "to", "message"),
    [
        ("norm.weight", None, "has no tensor for params/norm/scale"),
        ("pos_embed", np.zeros((1, 197, 192), np.float32), r"'pos_embed' of shape \(1, 197, 192\) does not fit"),
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
    for found, level in zip(encoder.apply(variables, image), wanted, strict=True):
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
    np.testing.assert_allclose(encoder.apply(variables, image), wanted, rtol=1e-4, atol=1e-5)
