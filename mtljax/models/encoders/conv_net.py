"""A plain convolutional network for small images."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax

from mtljax.models.encoders.staged import Outputs, Staged, previous
from mtljax.models.parts.norm import Norm


class ConvNet(Staged):
    """Blocks of 3 x 3 convolutions, max-pooled between, a mean over space, fully connected layers: (B, hidden[-1]).

    No layer has a bias, as each stands in front of a normalisation, followed by ReLU. By default the network of nine
    layers that FAMO (Liu et al. 2023) and those after it train on CelebA. Its stages are `block1`, ..., and `fc1`, ....

    Attributes:
        blocks: channels of the convolutions of each block.
        hidden: widths of the fully connected layers; none gives the means (B, C).
        norm: `batch`, `group` or `none`.
        axis_name: the mapped axis over which batch statistics are synchronised.
        dtype: of the computation; parameters are float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net, images = ConvNet(blocks=((8,), (16, 16)), hidden=(32,)), jnp.ones((2, 16, 16, 3))
        >>> out, variables = jax.eval_shape(net.init_with_output, jax.random.key(0), images)
        >>> out.shape, len(variables["params"])
        ((2, 32), 8)
    """

    blocks: Sequence[Sequence[int]] = ((64,), (128, 128), (256, 256), (512, 512))
    hidden: Sequence[int] = (512, 512)
    norm: str = "batch"
    axis_name: str | tuple[str, ...] | None = None
    dtype: Any = None

    @property
    def stages(self) -> tuple[str, ...]:
        """The blocks and the fully connected layers."""
        connected = (f"fc{i}" for i in range(1, len(self.hidden) + 1))
        return (*(f"block{i}" for i in range(1, len(self.blocks) + 1)), *connected)

    @nn.compact
    def stage(self, name: str, x: jax.Array, before: Outputs, train: bool) -> jax.Array:
        """One block, or one layer.

        Raises:
            ValueError: for an input that is not a batch of images.
        """
        self._check_images(x)
        x = previous(x, before)
        if name.startswith("fc"):
            x = x if x.ndim == 2 else x.mean(axis=(1, 2))
            x = nn.Dense(self.hidden[int(name[2:]) - 1], use_bias=False, dtype=self.dtype, name=name)(x)
            return nn.relu(Norm(self.norm, self.axis_name, self.dtype, name=f"{name}_norm")(x, train))
        if before:
            x = nn.max_pool(x, (2, 2), (2, 2))
        for i, channels in enumerate(self.blocks[int(name[5:]) - 1], 1):
            x = nn.Conv(channels, (3, 3), use_bias=False, dtype=self.dtype, name=f"{name}_conv{i}")(x)
            x = nn.relu(Norm(self.norm, self.axis_name, self.dtype, name=f"{name}_norm{i}")(x, train))
        return x

    def features(self, outputs: Outputs) -> jax.Array:
        """The last layer's output, a vector an image."""
        last = outputs[self.stages[-1]]
        return last if last.ndim == 2 else last.mean(axis=(1, 2))
