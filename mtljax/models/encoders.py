"""Encoders: images (or feature vectors) in, features out.

An image encoder gives a pyramid, a tuple of maps from fine to coarse, each `(B, H/stride, W/stride, C)`.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.layers import Norm

_BLOCKS = {
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
}
_STEM_STRIDES = {"imagenet": 4, "small": 1, "patch2": 2}
_he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class MLP(nn.Module):
    """A multi-layer perceptron for feature vectors: `(B, F) -> (B, features[-1])`, ReLU after every layer.

    Attributes:
        features: width of each layer.
        dtype: of the computation; parameters are float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> out, _ = MLP((16, 8)).init_with_output(jax.random.key(0), jnp.ones((2, 5)))
        >>> out.shape
        (2, 8)
    """

    features: tuple[int, ...] = (256, 256)
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Encodes `(B, F)`; axes after the first are flattened."""
        x = x.reshape(x.shape[0], -1)
        for width in self.features:
            x = nn.relu(nn.Dense(width, dtype=self.dtype)(x))
        return x


class LeNet(nn.Module):
    """The small convolutional network of MultiMNIST: `(B, 28, 28, C)` -> `(B, features)`.

    Convolutions of 10 and 20 channels, 5 x 5 without padding, each max-pooled by 2; the second's channels are dropped
    whole; one fully connected layer. ReLU after each (Sener and Koltun, NeurIPS 2018, after LeCun et al. 1998).

    Attributes:
        features: width of the last layer.
        dropout: probability with which a channel is dropped in training.
        dtype: of the computation; parameters are float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> out, _ = LeNet().init_with_output(jax.random.key(0), jnp.ones((2, 28, 28, 1)))
        >>> out.shape
        (2, 50)
    """

    features: int = 50
    dropout: float = 0.5
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Encodes `(B, H, W, C)` float images."""
        if x.ndim != 4:
            raise ValueError(f"LeNet takes images (B, H, W, C), not an array of shape {x.shape}.")
        for channels, dropout in ((10, 0.0), (20, self.dropout)):
            x = nn.Conv(channels, (5, 5), padding="VALID", dtype=self.dtype)(x)
            x = nn.Dropout(dropout, broadcast_dims=(1, 2), deterministic=not train)(x)
            x = nn.relu(nn.max_pool(x, (2, 2), (2, 2)))
        return nn.relu(nn.Dense(self.features, dtype=self.dtype)(x.reshape(x.shape[0], -1)))


class ResNet(nn.Module):
    """A residual network (He et al. 2016), giving the outputs of its four stages.

    Convolutions have no bias, as each stands in front of a normalisation; the last normalisation of a block
    starts at scale 0 (Goyal et al. 2017); in bottlenecks the 3 x 3 convolution carries the stride, as in torchvision.

    Attributes:
        depth: 10, 18, 34 (basic blocks), 50 or 101 (bottlenecks).
        width: channels of the first stage; each later stage doubles it.
        norm: `batch`, `group` or `none`.
        stem: `imagenet` (7 x 7 stride 2 and a 3 x 3 max-pooling: the pyramid has strides 4, 8, 16, 32),
            `patch2` (3 x 3 stride 2: strides 2, 4, 8, 16) or `small` (3 x 3: strides 1, 2, 4, 8), for small images.
        axis_name: the mapped axis over which batch statistics are synchronised.
        dtype: of the computation (`"bfloat16"`); parameters are float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> resnet, images = ResNet(depth=10, width=8), jnp.ones((1, 64, 64, 3))
        >>> pyramid, variables = jax.eval_shape(resnet.init_with_output, jax.random.key(0), images)
        >>> [level.shape for level in pyramid]
        [(1, 16, 16, 8), (1, 8, 8, 16), (1, 4, 4, 32), (1, 2, 2, 64)]
    """

    depth: int = 18
    width: int = 64
    norm: str = "batch"
    stem: str = "imagenet"
    axis_name: str | tuple[str, ...] | None = None
    dtype: Any = None

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride of each level of the pyramid."""
        return tuple(_STEM_STRIDES[self.stem] * 2**i for i in range(4))

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, ...]:
        """Encodes `(B, H, W, C)` float images.

        Raises:
            ValueError: for an unknown depth or stem, or an input that is not a batch of images.
        """
        if self.depth not in _BLOCKS:
            raise ValueError(f"ResNet(depth={self.depth}): expected one of {', '.join(map(str, _BLOCKS))}.")
        if self.stem not in _STEM_STRIDES:
            raise ValueError(f"ResNet(stem={self.stem!r}): expected one of {', '.join(_STEM_STRIDES)}.")
        if x.ndim != 4:
            raise ValueError(f"ResNet takes images (B, H, W, C), not an array of shape {x.shape}.")
        x = self._stem(x, train)
        block = _Bottleneck if self.depth >= 50 else _BasicBlock
        pyramid = []
        for stage, count in enumerate(_BLOCKS[self.depth]):
            for i in range(count):
                stride = 2 if stage > 0 and i == 0 else 1
                x = block(
                    self.width * 2**stage,
                    stride,
                    self.norm,
                    self.axis_name,
                    self.dtype,
                    name=f"stage{stage + 1}_block{i + 1}",
                )(x, train)
            pyramid.append(x)
        return tuple(pyramid)

    def _stem(self, x: jax.Array, train: bool) -> jax.Array:
        size, stride = {"imagenet": (7, 2), "patch2": (3, 2), "small": (3, 1)}[self.stem]
        x = _conv(self.width, size, stride, self.dtype, name="stem")(x)
        x = nn.relu(Norm(self.norm, self.axis_name, self.dtype, name="stem_norm")(x, train))
        if self.stem == "imagenet":
            x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        return x


def _conv(channels: int, size: int, stride: int, dtype: Any, name: str) -> nn.Conv:
    pad = size // 2
    return nn.Conv(
        channels,
        (size, size),
        (stride, stride),
        padding=((pad, pad), (pad, pad)),
        use_bias=False,
        kernel_init=_he,
        dtype=dtype,
        name=name,
    )


class _Block(nn.Module):
    channels: int
    stride: int
    norm: str
    axis_name: str | tuple[str, ...] | None
    dtype: Any

    def conv_norm(
        self, x: jax.Array, conv: tuple[int, int, int], name: str, train: bool, last: bool = False
    ) -> jax.Array:
        """A convolution of (channels, size, stride) and its normalisation."""
        x = _conv(*conv, self.dtype, name=name)(x)
        return Norm(self.norm, self.axis_name, self.dtype, zero_scale=last, name=f"{name}_norm")(x, train)

    def shortcut(self, x: jax.Array, channels: int, train: bool) -> jax.Array:
        """The identity, or a 1 x 1 convolution where shapes change."""
        if self.stride == 1 and x.shape[-1] == channels:
            return x
        return self.conv_norm(x, (channels, 1, self.stride), "shortcut", train)


class _BasicBlock(_Block):
    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        shortcut = self.shortcut(x, self.channels, train)
        y = nn.relu(self.conv_norm(x, (self.channels, 3, self.stride), "conv1", train))
        y = self.conv_norm(y, (self.channels, 3, 1), "conv2", train, last=True)
        return nn.relu(shortcut + y)


class _Bottleneck(_Block):
    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        shortcut = self.shortcut(x, 4 * self.channels, train)
        y = nn.relu(self.conv_norm(x, (self.channels, 1, 1), "conv1", train))
        y = nn.relu(self.conv_norm(y, (self.channels, 3, self.stride), "conv2", train))
        y = self.conv_norm(y, (4 * self.channels, 1, 1), "conv3", train, last=True)
        return nn.relu(shortcut + y)


def global_pool(features: Any) -> jax.Array:
    """The coarsest map, averaged over space: a pyramid or `(B, h, w, C)` -> `(B, C)`; vectors as they are.

    Example:
        >>> import jax.numpy as jnp
        >>> global_pool((jnp.ones((2, 8, 8, 3)), jnp.ones((2, 4, 4, 5)))).shape
        (2, 5)
    """
    x = features[-1] if isinstance(features, tuple | list) else features
    return x if x.ndim == 2 else jnp.mean(x, axis=tuple(range(1, x.ndim - 1)))
