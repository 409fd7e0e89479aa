"""Heads: features in, one task's prediction out.

A head is called with the encoder's features. It names in its signature what else it wants: `size` (the image's
height and width), `frames` (the number of frames s folded into the batch; the head then gives its own clip axis),
`camera`, `parents` (a dict of its parents' predictions), `train`.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.encoders import global_pool
from mtljax.models.layers import Norm


class Linear(nn.Module):
    """One linear layer on globally pooled features: a pyramid, a map or `(B, F)` -> `(B, channels)` float32.

    The frames of a clip are averaged before the layer.

    Attributes:
        channels: of the prediction, such as the number of classes.
        dtype: of the computation; parameters and prediction are float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> out, _ = Linear(10).init_with_output(jax.random.key(0), (jnp.ones((2, 4, 4, 8)),))
        >>> out.shape
        (2, 10)
    """

    channels: int
    dtype: Any = None

    @nn.compact
    def __call__(self, features: Any, frames: int | None = None) -> jax.Array:
        """Predicts from `features`, in which `frames` frames a clip are folded into the batch."""
        return nn.Dense(self.channels, dtype=self.dtype)(_pooled(features, frames)).astype(jnp.float32)


class Classifier(nn.Module):
    """Fully connected layers on globally pooled features: a pyramid, a map or `(B, F)` -> `(B, channels)` float32.

    The frames of a clip are averaged before the first layer.

    Attributes:
        channels: of the prediction, such as the number of classes.
        hidden: widths of the layers before the last, each followed by ReLU and dropout.
        dropout: probability with which a hidden unit is dropped in training.
        dtype: of the computation; parameters and prediction are float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> out, _ = Classifier(10, hidden=(50,)).init_with_output(jax.random.key(0), jnp.ones((2, 8)))
        >>> out.shape
        (2, 10)
    """

    channels: int
    hidden: tuple[int, ...] = (50,)
    dropout: float = 0.5
    dtype: Any = None

    @nn.compact
    def __call__(self, features: Any, frames: int | None = None, train: bool = False) -> jax.Array:
        """Predicts from `features`, in which `frames` frames a clip are folded into the batch."""
        x = _pooled(features, frames)
        for width in self.hidden:
            x = nn.relu(nn.Dense(width, dtype=self.dtype)(x))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.channels, dtype=self.dtype)(x).astype(jnp.float32)


def _pooled(features: Any, frames: int | None) -> jax.Array:
    """Global features, (B, F), averaged over the frames of each clip."""
    pooled = global_pool(features)
    return pooled if frames is None else jnp.mean(pooled.reshape(-1, frames, pooled.shape[-1]), axis=1)


class Dense(nn.Module):
    """A prediction for every pixel, decoded from a feature pyramid (or one map) from coarse to fine.

    Each level passes a 1 x 1 convolution; levels are added from coarse to fine with bilinear upsampling (a feature
    pyramid network, Lin et al. 2017); a 3 x 3 convolution and a 1 x 1 give the prediction at the finest level,
    upsampled to the image's size.

    Attributes:
        channels: of the prediction.
        width: channels of the decoder.
        output: function applied to the prediction, over its last axis (`jax.nn.softplus` for depth, say).
        dtype: of the computation; parameters and prediction are float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> pyramid = (jnp.ones((2, 8, 8, 16)), jnp.ones((2, 4, 4, 32)))
        >>> out, _ = Dense(3, width=8).init_with_output(jax.random.key(0), pyramid, size=(32, 32))
        >>> out.shape
        (2, 32, 32, 3)
    """

    channels: int
    width: int = 64
    output: Callable[[jax.Array], jax.Array] | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, features: Any, size: tuple[int, int] | None = None) -> jax.Array:
        """Predicts `(B, H, W, channels)` float32; `size` = (H, W), by default that of the finest map."""
        pyramid = features if isinstance(features, tuple | list) else (features,)
        if any(level.ndim != 4 for level in pyramid):
            raise ValueError(
                f"Dense takes feature maps (B, h, w, C), not shapes {[level.shape for level in pyramid]}: "
                "a dense prediction wants an image encoder such as ResNet."
            )
        x = None
        for i, level in reversed(list(enumerate(pyramid))):
            level = nn.Conv(self.width, (1, 1), use_bias=False, dtype=self.dtype, name=f"lateral{i + 1}")(level)
            x = level if x is None else level + _upsample(x, level.shape[1:3])
        x = nn.relu(Norm(dtype=self.dtype, name="norm1")(x))
        x = nn.Conv(self.width, (3, 3), use_bias=False, dtype=self.dtype, name="conv")(x)
        x = nn.relu(Norm(dtype=self.dtype, name="norm2")(x))
        x = nn.Conv(self.channels, (1, 1), dtype=self.dtype, name="predict")(x).astype(jnp.float32)
        x = _upsample(x, size or x.shape[1:3])
        return x if self.output is None else self.output(x)


class Parents(nn.Module):
    """Passes on what the task's parents predict, for tasks that tie others together: a dict of predictions.

    Attributes:
        static: a head of maps, such as `Dense(1)`, whose prediction comes along as `static`; by default there is none,
            and no parameter.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> parents = {"depth": jnp.ones((1, 2, 8, 8, 1))}
        >>> head, features = Parents(static=Dense(1, width=8)), jnp.ones((2, 4, 4, 8))
        >>> out, _ = head.init_with_output(jax.random.key(0), features, size=(8, 8), frames=2, parents=parents)
        >>> jax.tree.map(jnp.shape, out)
        {'depth': (1, 2, 8, 8, 1), 'static': (1, 2, 8, 8, 1)}
    """

    static: Any = None

    @nn.compact
    def __call__(
        self, features: Any, size: tuple[int, int] | None = None, frames: int | None = None, parents: Any = None
    ) -> dict[str, jax.Array]:
        """The predictions of `parents`, a dict, with clip axes as they have."""
        if self.static is None:
            return dict(parents or {})
        static = self.static(features, size=size)
        return {**(parents or {}), "static": static.reshape(-1, frames or 1, *static.shape[1:])}


def _upsample(x: jax.Array, size: tuple[int, int]) -> jax.Array:
    if x.shape[1:3] == tuple(size):
        return x
    return jax.image.resize(x, (x.shape[0], *size, x.shape[-1]), "bilinear")


from mtljax.models.depth_heads import InverseDepth  # noqa: E402

__all__ = ["Classifier", "Dense", "InverseDepth", "Linear", "Parents"]
