"""Normalisation by name."""

import math
from typing import Any, cast

import flax.linen as nn
import jax

NORMS = ("batch", "group", "none")


class Norm(nn.Module):
    """Batch or group normalisation over the last axis, by name.

    Attributes:
        kind: `batch` (statistics over the batch, and over `axis_name` where that is given), `group`
            (Wu & He 2018: up to 32 groups of at least 4 channels; the batch plays no part) or `none`.
        axis_name: the mapped axis over which batch statistics are synchronised.
        dtype: of the computation; statistics are float32.
        zero_scale: start with scale 0, as the last normalisation of a residual block does (Goyal et al. 2017).
    """

    kind: str = "group"
    axis_name: str | tuple[str, ...] | None = None
    dtype: Any = None
    zero_scale: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Normalises `(..., C)`; `train` uses and updates the batch's statistics."""
        scale_init = nn.initializers.zeros if self.zero_scale else nn.initializers.ones
        if self.kind == "batch":
            return nn.BatchNorm(
                use_running_average=not train,
                momentum=0.9,
                axis_name=cast(Any, self.axis_name),  # it takes several too
                dtype=self.dtype,
                scale_init=scale_init,
            )(x)
        if self.kind == "group":
            channels = x.shape[-1]
            groups = math.gcd(channels, min(32, max(1, channels // 4)))
            return nn.GroupNorm(num_groups=groups, dtype=self.dtype, scale_init=scale_init)(x)
        if self.kind == "none":
            return x
        raise ValueError(f"norm={self.kind!r}; expected one of {', '.join(NORMS)}.")
