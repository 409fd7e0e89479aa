"""Weights of torchvision's AlexNet and ResNets and timm's ViTs, from a file, as parameters of our encoders."""

import importlib
import math
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from mtljax.errors import UserError, unknown
from mtljax.models.encoders import AlexNet, ResNet, ViT

Tensors = Mapping[str, np.ndarray]
Entry = tuple[str, tuple[str, ...], np.ndarray]  # the tensor's name, the place of its array, the array
_NORM = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}


def load(
    file: str | pathlib.Path, encoder: Any, variables: Mapping[str, Any], size: tuple[int, int] | None = None
) -> dict[str, Any]:
    """The variables of an encoder with the weights of a file in the place of its own.

    The classifier's weights are left out. Every other tensor of the file must find its place, and every place one. A
    ViT's position embedding is interpolated to the grid of patches of the encoder's images. The weights want images as
    they were trained on: `normalise=True` of the encoder, or what the file's publisher says.

    Args:
        file: `.safetensors`, or `.pth` where PyTorch is installed: a state dict, as torchvision (`resnet18`, ...,
            `resnet101`, `alexnet`) and timm (`vit_tiny_patch16_224`, small or base, ...) save them.
        encoder: a `ResNet` with batch normalisation and the `imagenet` stem, an `AlexNet`, or a `ViT`.
        variables: of the encoder: `params`, and `batch_stats` where it has them.
        size: (H, W) of the images that the encoder was initialised with, from which a ViT's grid of patches is known;
            by default they are square.

    Returns:
        Variables as the given ones.

    Raises:
        UserError: for a file that cannot be read, an encoder of another kind, or a tensor without a place, a place
            without a tensor, or one of another shape, by name.
    """
    kinds: dict[type, Callable[[Any, Tensors], Iterator[Entry]]] = {ResNet: _resnet, AlexNet: _alexnet, ViT: _vit}
    if type(encoder) not in kinds:
        raise unknown("encoder for pretrained weights:", type(encoder).__name__, [kind.__name__ for kind in kinds])
    tensors = read(file)
    leaves = jax.tree_util.tree_leaves_with_path(dict(variables))
    places = {tuple(part.key for part in path): leaf for path, leaf in leaves}
    if isinstance(encoder, ViT):
        tensors = _at_size(tensors, encoder, places, size)
    filled: dict[tuple[str, ...], Any] = {}
    for name, place, array in kinds[type(encoder)](encoder, tensors):
        if place not in places:
            raise UserError(f"{str(file)!r}: tensor {name!r} has no place in {encoder!r}.".replace("\n", " "))
        if places[place].shape != array.shape:
            raise UserError(
                f"{str(file)!r}: tensor {name!r} of shape {tensors[name].shape} does not fit {'/'.join(place)} "
                f"of shape {places[place].shape}."
            )
        filled[place] = array
    for place in places:
        if place not in filled:
            raise UserError(f"{str(file)!r} has no tensor for {'/'.join(place)}.")
    structure = jax.tree.structure(dict(variables))
    return structure.unflatten([filled[place].astype(leaf.dtype) for place, leaf in places.items()])


def read(file: str | pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors of a `.safetensors` or `.pth` file by name.

    Raises:
        UserError: where it cannot be read.
    """
    file = pathlib.Path(file).expanduser()
    if not file.is_file():
        raise UserError(f"no file {str(file)!r} with pretrained weights.")
    if file.suffix not in (".safetensors", ".pth", ".pt"):
        raise UserError(f"pretrained weights {str(file)!r}: expected a .safetensors or .pth file.")
    try:
        if file.suffix == ".safetensors":
            from safetensors.numpy import load_file

            return load_file(file)
        torch = importlib.import_module("torch")
        return {name: tensor.numpy() for name, tensor in torch.load(file, "cpu", weights_only=True).items()}
    except ModuleNotFoundError as error:
        raise UserError(f"reading {str(file)!r} wants the package {error.name!r}: pip install {error.name}.") from error
    except Exception as error:  # Both libraries have errors of their own for a damaged file.
        raise UserError(f"{str(file)!r} cannot be read: {str(error).strip().splitlines()[0]}") from error


def _kernel(tensor: np.ndarray) -> np.ndarray:
    """PyTorch's (out, in, ...) to Flax's (..., in, out)."""
    return np.moveaxis(tensor, (0, 1), (-1, -2))


def _resnet(encoder: ResNet, tensors: Tensors) -> Iterator[Entry]:
    convolutions = {"conv": "conv{}", "bn": "conv{}_norm"}
    for name, tensor in tensors.items():
        if name.startswith("fc.") or name.endswith("num_batches_tracked"):
            continue
        part = re.fullmatch(r"(?:layer(\d)\.(\d+)\.)?(conv|bn|downsample\.)(\d)\.(\w+)", name)
        if part is None:
            yield name, (name,), tensor
            continue
        stage, block, kind, number, leaf = part.groups()
        if kind == "downsample.":
            module, is_norm = ("shortcut", "shortcut_norm")[int(number)], number == "1"
        else:
            module, is_norm = convolutions[kind].format(number), kind == "bn"
        where = (f"stage{stage}_block{int(block) + 1}", module) if stage else (module.replace("conv1", "stem"),)
        if not is_norm:
            yield name, ("params", *where, "kernel"), _kernel(tensor)
            continue
        collection = "batch_stats" if leaf.startswith("running") else "params"
        yield name, (collection, *where, "BatchNorm_0", _NORM.get(leaf, leaf)), tensor


def _alexnet(encoder: AlexNet, tensors: Tensors) -> Iterator[Entry]:
    layers = {"features.0": "conv1", "features.3": "conv2", "features.6": "conv3", "features.8": "conv4",
              "features.10": "conv5", "classifier.1": "fc6", "classifier.4": "fc7"}  # fmt: skip
    for name, tensor in tensors.items():
        layer, _, leaf = name.rpartition(".")
        if layer == "classifier.6":
            continue
        if leaf == "bias" or layer not in layers:
            yield name, ("params", layers.get(layer, layer), leaf), tensor
        elif tensor.ndim == 2:  # fully connected: what it reads is (channels, 6, 6) flattened, or channels
            side = 6 if layers[layer] == "fc6" and tensor.shape[1] % 36 == 0 else 1
            yield name, ("params", layers[layer], "kernel"), _kernel(tensor.reshape(len(tensor), -1, side, side))
        else:
            yield name, ("params", layers[layer], "kernel"), _kernel(tensor)


def _vit(encoder: ViT, tensors: Tensors) -> Iterator[Entry]:
    whole = {"cls_token": "class_token", "pos_embed": "position"}
    layers = {"norm1": "norm1", "norm2": "norm2", "mlp.fc1": "expand", "mlp.fc2": "contract"}
    heads = encoder.heads
    for name, tensor in tensors.items():
        if name.startswith("head."):
            continue
        if name in whole:
            yield name, ("params", whole[name]), tensor
            continue
        part = re.fullmatch(r"(?:blocks\.(\d+)\.)?([\w.]+)\.(weight|bias)", name)
        if part is None:
            yield name, (name,), tensor
            continue
        number, layer, leaf = part.groups()
        block = () if number is None else (f"block{int(number) + 1}",)
        if layer == "attn.qkv":
            for which, piece in zip(("query", "key", "value"), np.split(tensor, 3), strict=True):
                split = _kernel(piece) if leaf == "weight" else piece
                split = split.reshape(*split.shape[:-1], heads, -1)
                yield name, ("params", *block, "attention", which, _leaf(leaf)), split
        elif layer == "attn.proj":
            array = _kernel(tensor).reshape(heads, -1, len(tensor)) if leaf == "weight" else tensor
            yield name, ("params", *block, "attention", "out", _leaf(leaf)), array
        elif layer in ("norm", "norm1", "norm2"):
            yield name, ("params", *block, layer, _NORM[leaf]), tensor
        else:
            ours = {"patch_embed.proj": "patches"}.get(layer, layers.get(layer, layer))
            yield name, ("params", *block, ours, _leaf(leaf)), _kernel(tensor) if leaf == "weight" else tensor


def positions_at(embedding: np.ndarray, grid: tuple[int, int], wanted: tuple[int, int]) -> np.ndarray:
    """A position embedding for another grid of patches: cubic between positions, as timm has it.

    Args:
        embedding: (1, 1 + h w, C), that of the class token first.
        grid: (h, w) it is for.
        wanted: (h, w) it is to be for.

    Returns:
        (1, 1 + h w, C) float32.

    Example:
        >>> import numpy as np
        >>> positions_at(np.ones((1, 1 + 14 * 14, 8)), (14, 14), (18, 24)).shape
        (1, 433, 8)
    """
    embedding = np.asarray(embedding, np.float32)
    if grid == wanted:
        return embedding
    token, channels = embedding[:, :1], embedding.shape[-1]
    cells = jax.image.resize(embedding[:, 1:].reshape(1, *grid, channels), (1, *wanted, channels), "cubic")
    return np.concatenate([token, np.asarray(cells).reshape(1, -1, channels)], axis=1)


def _at_size(
    tensors: Tensors, encoder: ViT, places: Mapping[tuple[str, ...], Any], size: tuple[int, int] | None
) -> Tensors:
    """The tensors with the position embedding for images of the encoder's size, where it can be made so."""
    name, place = "pos_embed", places.get(("params", "position"))
    if name not in tensors or place is None or tensors[name].shape[::2] != place.shape[::2]:
        return tensors
    grid = _square(tensors[name].shape[1] - 1)
    wanted = _square(place.shape[1] - 1) if size is None else (size[0] // encoder.patch, size[1] // encoder.patch)
    if wanted is None:
        raise UserError(
            f"a ViT's position embedding of shape {place.shape} is not of square images; expected their size=(H, W)."
        )
    if grid is None or wanted[0] * wanted[1] != place.shape[1] - 1:
        return tensors
    return {**tensors, name: positions_at(tensors[name], grid, wanted)}


def _square(number: int) -> tuple[int, int] | None:
    side = math.isqrt(number)
    return (side, side) if side * side == number > 0 else None


def _leaf(leaf: str) -> str:
    return "kernel" if leaf == "weight" else leaf
