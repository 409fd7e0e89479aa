"""The network of `peers.py` in PyTorch, and its steps there: plain, in TorchJD's ways and in LibMTL's."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from balancers import TORCHJD
from torch import Tensor, nn
from torchjd import aggregation, autogram, autojac

Backward = Callable[[list[Tensor], list[Tensor]], None]  # features and losses -> what it leaves in `.grad`


def _conv(before: int, channels: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, channels, size, stride, size // 2, bias=False)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(channels, min(32, max(1, channels // 4))), channels, eps=1e-6)


class _Block(nn.Module):
    def __init__(self, before: int, channels: int) -> None:
        super().__init__()
        stride = 1 if before == channels else 2
        self.conv1, self.conv1_norm = _conv(before, channels, 3, stride), _norm(channels)
        self.conv2, self.conv2_norm = _conv(channels, channels, 3), _norm(channels)
        if stride == 2:
            self.shortcut, self.shortcut_norm = _conv(before, channels, 1, stride), _norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        around = self.shortcut_norm(self.shortcut(x)) if hasattr(self, "shortcut") else x
        x = F.relu(self.conv1_norm(self.conv1(x)))
        return F.relu(around + self.conv2_norm(self.conv2(x)))


class _Encoder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.stem_norm = _conv(3, width, 3, 2), _norm(width)
        channels = [width * 2**number for number in (0, 0, 1, 2, 3)]
        for number in (1, 2, 3, 4):
            self.add_module(f"stage{number}_block1", _Block(channels[number - 1], channels[number]))

    def forward(self, images: Tensor) -> list[Tensor]:
        pyramid = [F.relu(self.stem_norm(self.stem(images)))]
        for number in (1, 2, 3, 4):
            pyramid.append(self.get_submodule(f"stage{number}_block1")(pyramid[-1]))
        # Copies, which do not hang on each other: TorchJD differentiates with respect to all of them.
        return [level.view_as(level) for level in pyramid[1:]]


def _resized(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=False)


class _Dense(nn.Module):
    def __init__(self, width: int, decoder: int, channels: int) -> None:
        super().__init__()
        for number in (1, 2, 3, 4):
            self.add_module(f"lateral{number}", _conv(width * 2 ** (number - 1), decoder, 1))
        self.norm1, self.conv, self.norm2 = _norm(decoder), _conv(decoder, decoder, 3), _norm(decoder)
        self.predict = nn.Conv2d(decoder, channels, 1)

    def forward(self, pyramid: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        x = self.lateral4(pyramid[3])
        for number in (3, 2, 1):
            lateral = self.get_submodule(f"lateral{number}")(pyramid[number - 1])
            x = lateral + _resized(x, lateral.shape[-2:])
        x = self.conv(F.relu(self.norm1(x)))
        return _resized(self.predict(F.relu(self.norm2(x))), size)


class Network(nn.Module):
    """`MultiTask` of `ResNet(depth=10, norm='group', stem='patch2')` and `Dense` heads.

    Args:
        width: of the encoder's first stage.
        decoder: width of the heads.
        tasks: name -> channels of its prediction.
        params: of the Flax model, flat, with dots in their names.
    """

    def __init__(self, width: int, decoder: int, tasks: dict[str, int], params: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.tasks, self.encoder = tuple(tasks), _Encoder(width)
        for name, channels in tasks.items():
            self.add_module(f"heads_{name}", _Dense(width, decoder, channels))
        self.load_state_dict({_name(name): _value(leaf) for name, leaf in params.items()})

    def predictions(self, pyramid: Sequence[Tensor], size: Sequence[int]) -> dict[str, Tensor]:
        """Of every task, (B, channels, H, W)."""
        return {name: self.get_submodule(f"heads_{name}")(pyramid, size) for name in self.tasks}


def _name(name: str) -> str:
    """What PyTorch calls a parameter of Flax."""
    return name.replace(".GroupNorm_0", "").replace(".kernel", ".weight").replace(".scale", ".weight")


def _value(leaf: np.ndarray) -> Tensor:
    """A kernel (height, width, in, out) in PyTorch's order; other parameters as they are."""
    return torch.tensor(leaf if leaf.ndim != 4 else leaf.transpose(3, 2, 0, 1).copy())


def _losses(predictions: dict[str, Tensor], batch: dict[str, Tensor]) -> list[Tensor]:
    normals = predictions["normals"]
    lengths = torch.sqrt((normals**2).sum(1, keepdim=True) + 1e-6)
    return [
        F.cross_entropy(predictions["segment"], batch["segment"]),
        (F.softplus(predictions["depth"]) - batch["depth"]).abs().mean(),
        (1 - (normals / lengths * batch["normals"]).sum(1)).mean(),
    ]


class Peers:
    """The steps, each on a network of its own with the same parameters.

    Args:
        made: arguments of `Network`.
        batch: `image` (B, H, W, 3), `segment` (B, H, W) and `depth`, `normals` (B, H, W, C), of NumPy.
        rate: of the plain gradient descent that all steps end with.
        channels_last: whether images and kernels lie in memory as in Flax.
    """

    def __init__(self, made: tuple[Any, ...], batch: dict[str, np.ndarray], rate: float, channels_last: bool) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self._made, self._rate = made, rate
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        values = {k: torch.tensor(v if v.ndim == 3 else v.transpose(0, 3, 1, 2).copy()) for k, v in batch.items()}
        self._batch = {k: v.to(self.device).long() if v.ndim == 3 else self._placed(v) for k, v in values.items()}

    def _placed(self, x: Any) -> Any:
        return x.to(self.device).to(memory_format=self._format)

    def network(self) -> Network:
        """A new one."""
        return self._placed(Network(*self._made))

    def losses(self, network: Network) -> tuple[list[Tensor], list[Tensor]]:
        """Features and losses."""
        images = self._batch["image"]
        features = network.encoder(images)
        return features, _losses(network.predictions(features, images.shape[-2:]), self._batch)

    def summed(self) -> tuple[int, list[float], np.ndarray]:
        """Number of parameters, losses, and the sum of the rows of the stem's Jacobian by TorchJD, (h, w, in, out)."""
        network = self.network()
        features, losses = self.losses(network)
        autojac.mtl_backward(losses, features=features)
        rows: Any = network.encoder.stem.weight.jac
        number = sum(parameter.numel() for parameter in network.parameters())
        return number, [loss.item() for loss in losses], rows.sum(0).cpu().numpy().transpose(2, 3, 1, 0)

    def steps(self, method: str) -> dict[str, Callable[[], None]]:
        """The steps of a method, by whose way it is; of `plain` there is one."""
        if method == "plain":
            return {"PyTorch": self._step(_plain)}
        aggregator = TORCHJD[method](aggregation, len(self._made[2]))
        ways = {
            "TorchJD, vmap": self._step(lambda network: _torchjd(network, aggregator, None)),
            "TorchJD, one by one": self._step(lambda network: _torchjd(network, aggregator, 1)),
        }
        if isinstance(aggregator, aggregation.GramianWeightedAggregator):
            ways["TorchJD, Gramian"] = self._step(lambda network: _gramian(network, aggregator.gramian_weighting))
        combined = _projected if method == "pcgrad" else aggregator
        return ways | {"LibMTL's way": self._step(lambda network: _libmtl(network, combined))}

    def _step(self, make: Callable[[Network], Backward]) -> Callable[[], None]:
        network = self.network()
        optimizer, backward = torch.optim.SGD(network.parameters(), self._rate), make(network)

        def step() -> None:
            optimizer.zero_grad()
            backward(*self.losses(network))
            optimizer.step()
            if self.device == "cuda":
                torch.cuda.synchronize()

        return step


def _plain(network: Network) -> Backward:
    return lambda features, losses: torch.stack(losses).sum().backward()


def _torchjd(network: Network, aggregator: Any, chunk: int | None) -> Backward:
    """The Jacobian of the shared parameters, from the features on, and the gradients of the heads."""

    def backward(features: list[Tensor], losses: list[Tensor]) -> None:
        autojac.mtl_backward(losses, features=features, parallel_chunk_size=chunk)
        autojac.jac_to_grad(network.encoder.parameters(), aggregator)

    return backward


def _gramian(network: Network, weighting: Any) -> Backward:
    """The Gramian layer by layer and one weighted backward pass, whose weights the heads' gradients have as well."""
    engine = autogram.Engine(network.encoder, batch_dim=None)

    def backward(features: list[Tensor], losses: list[Tensor]) -> None:
        stacked = torch.stack(losses)
        stacked.backward(weighting(engine.compute_gramian(stacked)))

    return backward


def _libmtl(network: Network, combined: Callable[[Tensor], Tensor]) -> Backward:
    """A whole backward pass a task into `.grad`, copied to one row a task, and the combination copied back."""
    shared = list(network.encoder.parameters())

    def backward(features: list[Tensor], losses: list[Tensor]) -> None:
        rows = []
        for number, loss in enumerate(losses):
            loss.backward(retain_graph=number < len(losses) - 1)
            rows.append(torch.cat([_taken(parameter).reshape(-1) for parameter in shared]))
        _written(shared, combined(torch.stack(rows)))

    return backward


def _taken(parameter: Tensor) -> Tensor:
    gradient, parameter.grad = parameter.grad, None
    assert gradient is not None
    return gradient


def _written(parameters: Iterable[Tensor], vector: Tensor) -> None:
    begin = 0
    for parameter in parameters:
        parameter.grad = vector[begin : begin + parameter.numel()].view(parameter.shape).clone()
        begin += parameter.numel()


def _projected(rows: Tensor) -> Tensor:
    """PCGrad on whole gradients, in a random order."""
    found = rows.clone()
    for number, row in enumerate(found):
        for other in torch.randperm(len(rows)).tolist():
            product = row @ rows[other]
            if other != number and product < 0:
                row -= product / (rows[other] @ rows[other]) * rows[other]
    return found.sum(0)
