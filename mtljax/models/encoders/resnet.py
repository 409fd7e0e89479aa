"""Residual networks."""

from typing import Any, cast

import flax.linen as nn
import jax

from mtljax.models.encoders.staged import Outputs, Staged, previous
from mtljax.models.parts.norm import Norm
from mtljax.models.parts.normalise import Normalise, normalised

_BLOCKS = {
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
}
_STEM_STRIDES = {"imagenet": 4, "small": 1, "patch2": 2}
_he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class ResNet(Staged):
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
        dilated: keep the second stage's resolution in the last two, with convolutions dilated by 2 and 4 in place of
            strides (Chen et al. 2017), as peers do for dense tasks.
        normalise: what images of values in [0, 1] are normalised by: True for ImageNet's mean and deviation, which
            torchvision's weights want; `imagenet`, `inception`; or a pair (mean, deviation) of numbers for each
            channel. False for images as they are.

    Its stages are `stem`, `stage1`, ..., `stage4`.

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
    dilated: bool = False
    normalise: Normalise = False

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride of each level of the pyramid."""
        last = (1, 1) if self.dilated else (2, 3)
        return tuple(_STEM_STRIDES[self.stem] * 2**i for i in (0, 1, *last))

    @property
    def stages(self) -> tuple[str, ...]:
        """The stem and the four stages."""
        return ("stem", "stage1", "stage2", "stage3", "stage4")

    @nn.compact
    def stage(self, name: str, x: jax.Array, before: Outputs, train: bool) -> jax.Array:
        """The stem, or the blocks of one stage.

        Raises:
            ValueError: for an unknown depth or stem, or an input that is not a batch of images.
        """
        self._check(x)
        x = previous(x, before)
        if name == "stem":
            return self._stem(normalised(x, self.normalise, "imagenet"), train)
        number = int(name[-1]) - 1
        block = _Bottleneck if self.depth >= 50 else _BasicBlock
        for i in range(_BLOCKS[self.depth][number]):
            first = i == 0 and number > 0
            stride = 2 if first and not self._dilation(number) else 1
            dilation = self._dilation(number if not first else number - 1) or 1
            channels = self.width * 2**number
            settings = (channels, stride, self.norm, self.axis_name, self.dtype, dilation)
            x = block(*settings, name=f"{name}_block{i + 1}")(x, train)
        return x

    def features(self, outputs: Outputs) -> tuple[jax.Array, ...]:
        """The outputs of the four stages."""
        return tuple(outputs[f"stage{i}"] for i in (1, 2, 3, 4))

    def _check(self, x: jax.Array) -> None:
        if self.depth not in _BLOCKS:
            raise ValueError(f"ResNet(depth={self.depth}): expected one of {', '.join(map(str, _BLOCKS))}.")
        if self.stem not in _STEM_STRIDES:
            raise ValueError(f"ResNet(stem={self.stem!r}): expected one of {', '.join(_STEM_STRIDES)}.")
        self._check_images(x)

    def _dilation(self, number: int) -> int:
        """Of the 3 x 3 convolutions of a stage, 0 where its stride is kept (DeepLab: the last two stages)."""
        return {2: 2, 3: 4}.get(number, 0) if self.dilated else 0

    def _stem(self, x: jax.Array, train: bool) -> jax.Array:
        size, stride = {"imagenet": (7, 2), "patch2": (3, 2), "small": (3, 1)}[self.stem]
        x = _conv(self.width, size, stride, self.dtype, name="stem")(x)
        x = nn.relu(Norm(self.norm, self.axis_name, self.dtype, name="stem_norm")(x, train))
        if self.stem == "imagenet":
            x = nn.max_pool(x, (3, 3), (2, 2), padding=cast(Any, ((1, 1), (1, 1))))
        return x


def _conv(channels: int, size: int, stride: int, dtype: Any, name: str, dilation: int = 1) -> nn.Conv:
    pad = size // 2 * dilation
    return nn.Conv(
        channels,
        (size, size),
        (stride, stride),
        padding=((pad, pad), (pad, pad)),
        kernel_dilation=dilation,
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
    dilation: int = 1

    def conv_norm(
        self, x: jax.Array, conv: tuple[int, int, int], name: str, train: bool, last: bool = False
    ) -> jax.Array:
        """A convolution of (channels, size, stride) and its normalisation."""
        dilation = self.dilation if conv[1] > 1 else 1
        x = _conv(*conv, self.dtype, name=name, dilation=dilation)(x)
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
