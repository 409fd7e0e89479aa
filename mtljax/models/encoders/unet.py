"""The U-Net."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.encoders.staged import Outputs, Staged, previous
from mtljax.models.parts.norm import Norm


class UNet(Staged):
    """A U-Net (Ronneberger et al. 2015), giving a pyramid of strides 1, 2, 4, ... of decoded maps.

    As is usual now, convolutions are padded, so that maps keep their size, and normalised. Its stages are `down1`, ...,
    `bottom`, ..., `up1`.

    Attributes:
        width: channels of the finest level; each coarser one doubles them.
        levels: how often the resolution is halved.
        norm: `batch`, `group` or `none`.
        axis_name: the mapped axis over which batch statistics are synchronised.
        dtype: of the computation; parameters are float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> unet, images = UNet(width=8, levels=2), jnp.ones((1, 16, 16, 3))
        >>> pyramid, variables = jax.eval_shape(unet.init_with_output, jax.random.key(0), images)
        >>> [level.shape for level in pyramid]
        [(1, 16, 16, 8), (1, 8, 8, 16), (1, 4, 4, 32)]
    """

    width: int = 64
    levels: int = 4
    norm: str = "group"
    axis_name: str | tuple[str, ...] | None = None
    dtype: Any = None

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride of each level of the pyramid."""
        return tuple(2**i for i in range(self.levels + 1))

    @property
    def stages(self) -> tuple[str, ...]:
        """Down, through the bottom, and up."""
        numbers = range(1, self.levels + 1)
        return (*(f"down{i}" for i in numbers), "bottom", *(f"up{i}" for i in reversed(numbers)))

    @nn.compact
    def stage(self, name: str, x: jax.Array, before: Outputs, train: bool) -> jax.Array:
        """One level, on the way down or up.

        Raises:
            ValueError: for an input that is not a batch of images, or whose sides cannot be halved so often.
        """
        self._check_images(x)
        if any(length % 2**self.levels for length in x.shape[1:3]):
            raise ValueError(
                f"UNet(levels={self.levels}) halves images {self.levels} times; "
                f"expected sides divisible by {2**self.levels}, not {x.shape[1]} x {x.shape[2]}."
            )
        x = previous(x, before)
        if name.startswith("up"):
            level = int(name[2:])
            channels = self.width * 2 ** (level - 1)
            x = nn.ConvTranspose(channels, (2, 2), (2, 2), dtype=self.dtype, name=f"{name}_upsample")(x)
            return self._two(name, channels, jnp.concatenate([before[f"down{level}"], x], axis=-1), train)
        level = self.levels + 1 if name == "bottom" else int(name[4:])
        x = x if level == 1 else nn.max_pool(x, (2, 2), (2, 2))
        return self._two(name, self.width * 2 ** (level - 1), x, train)

    def features(self, outputs: Outputs) -> tuple[jax.Array, ...]:
        """The maps of the way up, fine to coarse."""
        return (*(outputs[f"up{i}"] for i in range(1, self.levels + 1)), outputs["bottom"])

    def _two(self, name: str, channels: int, x: jax.Array, train: bool) -> jax.Array:
        for i in (1, 2):
            x = nn.Conv(channels, (3, 3), use_bias=False, dtype=self.dtype, name=f"{name}_conv{i}")(x)
            x = nn.relu(Norm(self.norm, self.axis_name, self.dtype, name=f"{name}_norm{i}")(x, train))
        return x
