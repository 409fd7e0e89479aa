"""SegNet."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.encoders.staged import Outputs, Staged, previous
from mtljax.models.parts.norm import Norm

_CHANNELS = (64, 128, 256, 512, 512)
_CONVOLUTIONS = (2, 2, 3, 3, 3)  # of VGG-16
_LEVELS = len(_CHANNELS)


class SegNet(Staged):
    """SegNet (Badrinarayanan et al. 2017), both halves, giving one map at the images' own size.

    The 13 convolutions of VGG-16, each normalised, with a 2 x 2 max-pooling after each of five blocks; then the same in
    mirror image, where each pooling is undone: a value goes back to where it was the greatest, zeros beside it. It is
    the trunk of MTAN (Liu et al. 2019) and of the tables after it. Its stages are `down1`, ..., `down5`, before they
    are pooled, and `up5`, ..., `up1`.

    Attributes:
        width: factor on the channels, 64, 128, 256, 512, 512.
        norm: `batch` (the paper), `group` or `none`.
        axis_name: the mapped axis over which batch statistics are synchronised.
        dtype: of the computation; parameters are float32.
        pyramid: give the five maps of the way up, of strides 1, 2, 4, 8, 16, in place of the finest alone: what `MTAN`
            selects from.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> segnet, images = SegNet(width=1 / 8), jnp.ones((1, 32, 64, 3))
        >>> out, variables = jax.eval_shape(segnet.init_with_output, jax.random.key(0), images)
        >>> out.shape
        (1, 32, 64, 8)
    """

    width: float = 1.0
    norm: str = "batch"
    axis_name: str | tuple[str, ...] | None = None
    dtype: Any = None
    pyramid: bool = False

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride of each map."""
        return tuple(2**i for i in range(_LEVELS)) if self.pyramid else (1,)

    @property
    def stages(self) -> tuple[str, ...]:
        """Five blocks down, five up."""
        numbers = range(1, _LEVELS + 1)
        return (*(f"down{i}" for i in numbers), *(f"up{i}" for i in reversed(numbers)))

    @nn.compact
    def stage(self, name: str, x: jax.Array, before: Outputs, train: bool) -> jax.Array:
        """One block.

        Raises:
            ValueError: for an input that is not a batch of images, or whose sides cannot be halved five times.
        """
        self._check_images(x)
        if any(length % 2**_LEVELS for length in x.shape[1:3]):
            raise ValueError(
                f"SegNet halves images {_LEVELS} times; expected sides divisible by {2**_LEVELS}, not "
                f"{x.shape[1]} x {x.shape[2]}."
            )
        x, level = previous(x, before), int(name[-1]) - 1
        if name.startswith("down"):
            x = x if level == 0 else pooled(x)
            channels = [_CHANNELS[level]] * _CONVOLUTIONS[level]
        else:
            x = unpooled(pooled(x) if level == _LEVELS - 1 else x, before[f"down{level + 1}"])
            channels = [_CHANNELS[max(level - 1, 0)]] * _CONVOLUTIONS[level]
        for i, wide in enumerate(channels, 1):
            conv = nn.Conv(max(1, round(wide * self.width)), (3, 3), dtype=self.dtype, name=f"{name}_conv{i}")
            x = nn.relu(Norm(self.norm, self.axis_name, self.dtype, name=f"{name}_norm{i}")(conv(x), train))
        return x

    def features(self, outputs: Outputs) -> Any:
        """The finest map, or all of the way up, fine to coarse."""
        levels = tuple(outputs[f"up{i}"] for i in range(1, _LEVELS + 1))
        return levels if self.pyramid else levels[0]


def pooled(x: jax.Array) -> jax.Array:
    """The greatest of each 2 x 2 values: (B, H, W, C) -> (B, H/2, W/2, C)."""
    return nn.max_pool(x, (2, 2), (2, 2))


def unpooled(x: jax.Array, where: jax.Array) -> jax.Array:
    """Puts values back to where another map is the greatest among each 2 x 2: (B, h, w, C) -> (B, 2h, 2w, C).

    Of values that are equal, the first counts, by rows. No gradient goes through the choice.

    Args:
        x: (B, h, w, C).
        where: (B, 2h, 2w, C).

    Example:
        >>> where = jnp.array([[1.0, 5.0], [2.0, 0.0]]).reshape(1, 2, 2, 1)
        >>> print(unpooled(jnp.full((1, 1, 1, 1), 7.0), where)[0, ..., 0])
        [[0. 7.]
         [0. 0.]]
    """
    b, h, w, channels = x.shape
    windows = where.reshape(b, h, 2, w, 2, channels).transpose(0, 1, 3, 5, 2, 4).reshape(b, h, w, channels, 4)
    chosen = jax.nn.one_hot(jnp.argmax(windows, axis=-1), 4, dtype=x.dtype) * x[..., None]
    return chosen.reshape(b, h, w, channels, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(where.shape)
