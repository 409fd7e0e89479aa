"""The Vision Transformer."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.encoders.staged import Outputs, Staged, previous
from mtljax.models.parts.normalise import Normalise, normalised

_SIZES = {"Ti": (192, 12, 3), "S": (384, 12, 6), "B": (768, 12, 12)}  # width, depth, heads


class ViT(Staged):
    """A Vision Transformer (Dosovitskiy et al. 2021), giving one map of stride `patch`.

    A class token comes along as in the original; the position embedding is learned for the images that the model was
    initialised with. Pre-normalised blocks, exact GELU. Its stages are `embed`, `block1`, `block2`, ...

    Attributes:
        size: `Ti`, `S` or `B`.
        patch: side of a patch, in pixels.
        depth: number of blocks, by default that of the size.
        dropout: probability with which a unit is dropped in training, after the embedding and in the blocks.
        dtype: of the computation; parameters are float32.
        normalise: what images of values in [0, 1] are normalised by: True for a mean and a deviation of 0.5, which most
            of timm's weights want; `imagenet` (DeiT's want it), `inception`; or a pair (mean, deviation) of numbers for
            each channel. False for images as they are.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> vit, images = ViT("Ti", depth=2), jnp.ones((1, 64, 32, 3))
        >>> pyramid, variables = jax.eval_shape(vit.init_with_output, jax.random.key(0), images)
        >>> [level.shape for level in pyramid]
        [(1, 4, 2, 192)]
    """

    size: str = "S"
    patch: int = 16
    depth: int | None = None
    dropout: float = 0.0
    dtype: Any = None
    normalise: Normalise = False

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride of the one map."""
        return (self.patch,)

    @property
    def heads(self) -> int:
        """The number of attention heads of a block."""
        return _SIZES[self.size][2]

    @property
    def stages(self) -> tuple[str, ...]:
        """The embedding, the blocks and the last normalisation with the map of it."""
        depth = self.depth or _SIZES.get(self.size, (0, 0, 0))[1]
        return ("embed", *(f"block{i + 1}" for i in range(depth)), "map")

    @nn.compact
    def stage(self, name: str, x: jax.Array, before: Outputs, train: bool) -> jax.Array:
        """Tokens (B, 1 + h w, width): of the class token and the patches; in the end, the map (B, h, w, width).

        Raises:
            ValueError: for an unknown size, or images that patches do not fill.
        """
        self._check(x)
        width = _SIZES[self.size][0]
        if name == "embed":
            return self._embedded(normalised(x, self.normalise, "inception"), width, train)
        tokens = previous(x, before)
        if name == "map":
            tokens = nn.LayerNorm(epsilon=1e-6, dtype=self.dtype, name="norm")(tokens)
            return tokens[:, 1:].reshape(x.shape[0], x.shape[1] // self.patch, -1, width)
        return _Block(self.heads, self.dropout, self.dtype, name=name)(tokens, train)

    def features(self, outputs: Outputs) -> tuple[jax.Array, ...]:
        """The map."""
        return (outputs["map"],)

    def _check(self, x: jax.Array) -> None:
        if self.size not in _SIZES:
            raise ValueError(f"ViT(size={self.size!r}): expected one of {', '.join(_SIZES)}.")
        self._check_images(x)
        if any(length % self.patch for length in x.shape[1:3]):
            raise ValueError(f"ViT(patch={self.patch}) takes images of whole patches, not {x.shape[1]} x {x.shape[2]}.")

    def _embedded(self, x: jax.Array, width: int, train: bool) -> jax.Array:
        patch = (self.patch, self.patch)
        x = nn.Conv(width, patch, patch, padding="VALID", dtype=self.dtype, name="patches")(x)
        x = x.reshape(x.shape[0], -1, width)
        token = self.param("class_token", nn.initializers.zeros, (1, 1, width))
        tokens = jnp.concatenate([jnp.broadcast_to(token.astype(x.dtype), (x.shape[0], 1, width)), x], axis=1)
        where = self.param("position", nn.initializers.normal(0.02), (1, tokens.shape[1], width))
        return nn.Dropout(self.dropout, deterministic=not train, name="dropout")(tokens + where.astype(x.dtype))


class _Block(nn.Module):
    heads: int
    dropout: float
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        width = x.shape[-1]
        y = nn.LayerNorm(epsilon=1e-6, dtype=self.dtype, name="norm1")(x)
        y = nn.MultiHeadDotProductAttention(self.heads, dtype=self.dtype, name="attention")(y)
        x = x + self._dropped(y, train, "dropout1")
        y = nn.LayerNorm(epsilon=1e-6, dtype=self.dtype, name="norm2")(x)
        y = nn.gelu(nn.Dense(4 * width, dtype=self.dtype, name="expand")(y), approximate=False)
        y = nn.Dense(width, dtype=self.dtype, name="contract")(y)
        return x + self._dropped(y, train, "dropout2")

    def _dropped(self, x: jax.Array, train: bool, name: str) -> jax.Array:
        return nn.Dropout(self.dropout, deterministic=not train, name=name)(x)
