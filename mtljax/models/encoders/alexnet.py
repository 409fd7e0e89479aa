"""AlexNet."""

from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.encoders.staged import Outputs, Staged, previous
from mtljax.models.parts.normalise import Normalise, normalised

_CONVOLUTIONS = {  # stage: number, channels, size, stride, padding, max-pooled after
    "pool1": (1, 64, 11, 4, 2, True),
    "pool2": (2, 192, 5, 1, 2, True),
    "conv3": (3, 384, 3, 1, 1, False),
    "conv4": (4, 256, 3, 1, 1, False),
    "pool5": (5, 256, 3, 1, 1, True),
}
_GRID = 6  # of the map that the first fully connected layer reads


class AlexNet(Staged):
    """AlexNet in its one-tower form (Krizhevsky 2014, as torchvision has it), for dense tasks or for whole images.

    Dense, its fully connected layers are convolutions (Long et al. 2015) and it gives a pyramid of strides 8, 16 and
    32: the outputs of `pool1`, `pool2` and `fc7`. Else it gives vectors (B, hidden). The parameters are the same.
    Unlike the AlexNets of Misra et al. (2016), it has no local response normalisation and no groups, and max-pooling
    pads small maps, so that images of 63 x 63 and more can be read.

    Its stages are `pool1`, `pool2`, `conv3`, `conv4`, `pool5`, `fc6`, `fc7`.

    Attributes:
        dense: give a pyramid.
        width: factor on the channels of the convolutions.
        hidden: channels of `fc6` and `fc7`.
        dropout: probability with which a unit of `fc6` and `fc7` is dropped in training.
        dtype: of the computation; parameters are float32.
        normalise: what images of values in [0, 1] are normalised by: True for ImageNet's mean and deviation, which
            torchvision's weights want; `imagenet`, `inception`; or a pair (mean, deviation) of numbers for each
            channel. False for images as they are.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> alexnet, images = AlexNet(hidden=64), jnp.ones((1, 224, 224, 3))
        >>> pyramid, variables = jax.eval_shape(alexnet.init_with_output, jax.random.key(0), images)
        >>> [level.shape for level in pyramid]
        [(1, 27, 27, 64), (1, 13, 13, 192), (1, 6, 6, 64)]
    """

    dense: bool = True
    width: float = 1.0
    hidden: int = 4096
    dropout: float = 0.5
    dtype: Any = None
    normalise: Normalise = False

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride of each level of the pyramid."""
        return (8, 16, 32) if self.dense else ()

    @property
    def stages(self) -> tuple[str, ...]:
        """The places where Misra et al. stitch, and the layers between."""
        return (*_CONVOLUTIONS, "fc6", "fc7")

    @nn.compact
    def stage(self, name: str, x: jax.Array, before: Outputs, train: bool) -> jax.Array:
        """One layer with what belongs to it."""
        self._check_images(x)
        x = previous(x, before) if before else normalised(x, self.normalise, "imagenet")
        if name in ("fc6", "fc7"):
            return self._connected(name, x, train)
        number, channels, size, stride, padding, pooled = _CONVOLUTIONS[name]
        pads = ((padding, padding), (padding, padding))
        channels = max(1, round(channels * self.width))
        x = nn.Conv(channels, (size, size), (stride, stride), pads, dtype=self.dtype, name=f"conv{number}")(x)
        x = nn.relu(x)
        if not pooled:
            return x
        small = tuple((0, max(0, 3 - length)) for length in x.shape[1:3])
        return nn.max_pool(x, (3, 3), (2, 2), padding=cast(Any, small))

    def _connected(self, name: str, x: jax.Array, train: bool) -> jax.Array:
        if name == "fc6" and not self.dense:
            x = _adaptive_mean(x, _GRID)
        size = _GRID if name == "fc6" else 1
        padding = "SAME" if self.dense else "VALID"
        x = nn.Dropout(self.dropout, deterministic=not train, name=f"dropout_{name}")(x)
        return nn.relu(nn.Conv(self.hidden, (size, size), padding=padding, dtype=self.dtype, name=name)(x))

    def features(self, outputs: Outputs) -> Any:
        """The pyramid, or the vectors."""
        if self.dense:
            return outputs["pool1"], outputs["pool2"], outputs["fc7"]
        return jnp.reshape(outputs["fc7"], (outputs["fc7"].shape[0], self.hidden))


def _adaptive_mean(x: jax.Array, grid: int) -> jax.Array:
    """Means over the cells of a grid of the given side, which may share pixels: (B, h, w, C) -> (B, grid, grid, C)."""
    for axis in (1, 2):
        length = x.shape[axis]
        starts = [i * length // grid for i in range(grid)]
        ends = [-(-(i + 1) * length // grid) for i in range(grid)]
        cells = [jax.lax.slice_in_dim(x, a, b, axis=axis).mean(axis=axis) for a, b in zip(starts, ends, strict=True)]
        x = jnp.stack(cells, axis=axis)
    return x
