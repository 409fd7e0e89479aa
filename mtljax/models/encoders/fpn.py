"""A feature pyramid network that gives one map."""

from typing import Any

import flax.linen as nn
import jax

from mtljax.errors import UserError
from mtljax.models.encoders.staged import Outputs, Staged
from mtljax.models.parts.norm import Norm
from mtljax.models.parts.pyramid import feature_maps, size_of, top_down


class FPN(Staged):
    """One map of all levels of an encoder's pyramid, for heads that look at the same cells (Lin et al. 2017).

    From the coarsest level to that of the wanted stride each passes a 1 x 1 convolution and is added to the coarser
    ones; a 3 x 3 convolution, group normalisation and ReLU make the map. Finer levels are not read. Its stages are
    those of the encoder, and `merge`.

    Attributes:
        encoder: with stages, that gives a pyramid: `ResNet`, `UNet`, `ViT`.
        width: channels of the map.
        stride: pixels of a cell's side.
        dtype: of the computation; parameters are float32.

    Raises:
        UserError: for images whose sides the stride does not divide, or an encoder without a level of that stride.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> fpn = FPN(mtl.encoders.ResNet(depth=10, width=8, norm="group", stem="patch2"), width=16)
        >>> features, _ = jax.eval_shape(fpn.init_with_output, jax.random.key(0), jnp.ones((2, 64, 48, 3)))
        >>> features.shape
        (2, 16, 12, 16)
    """

    encoder: Any
    width: int = 48
    stride: int = 4
    dtype: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.encoder, Staged):
            kind = type(self.encoder).__name__
            raise UserError(f"FPN(encoder={kind}): expected an encoder with stages, such as ResNet, UNet or ViT.")

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride of the map."""
        return (self.stride,)

    @property
    def stages(self) -> tuple[str, ...]:
        """The encoder's, and that in which its levels are merged."""
        return (*self.encoder.stages, "merge")

    @nn.compact
    def stage(self, name: str, x: jax.Array, before: Outputs, train: bool) -> jax.Array:
        """A stage of the encoder, or the map."""
        if name != "merge":
            return self.encoder.stage(name, x, before, train)
        wanted = "it wants an image encoder such as ResNet"
        pyramid = feature_maps(self.encoder.features(before), "FPN merges", wanted, type(self.encoder).__name__)
        maps = top_down(self._levels(size_of(x), pyramid), self.width, self.dtype)[-1]
        y = nn.Conv(self.width, (3, 3), use_bias=False, dtype=self.dtype, name="smooth")(maps)
        return nn.relu(Norm(dtype=self.dtype, name="norm")(y))

    def features(self, outputs: Outputs) -> jax.Array:
        """The map, (B, H / stride, W / stride, width)."""
        return outputs["merge"]

    def _levels(self, size: tuple[int, int], pyramid: tuple[jax.Array, ...]) -> list[jax.Array]:
        """The levels from the wanted stride on."""
        height, width = size
        if height % self.stride or width % self.stride:
            raise UserError(
                f"FPN(stride={self.stride}): expected sides divisible by {self.stride}, not {height} x {width}."
            )
        cells = height // self.stride, width // self.stride
        levels = [level for level in pyramid if level.shape[1] <= cells[0] and level.shape[2] <= cells[1]]
        if not levels or levels[0].shape[1:3] != cells:
            found = ", ".join(str(height // level.shape[1]) for level in pyramid)
            raise UserError(
                f"FPN(stride={self.stride}): {type(self.encoder).__name__} gives levels of strides {found}; expected "
                f"one of {self.stride}."
            )
        return levels
