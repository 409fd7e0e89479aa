"""Pixels of things that may move, and the frames on which to leave them out (SGDepth, Klingner et al. 2020)."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtljax import geometry
from mtljax.errors import UserError
from mtljax.tasks.self_supervision import neighbours

BINS = 100  # of the histogram of IoUs


@dataclasses.dataclass(frozen=True)
class Movable:
    """Which classes may move, and how many frames are masked when.

    Attributes:
        classes: that may move.
        steps: over which the share of masked frames falls from all to none; None: all, always.
        quantiles: of the frames' IoU on the data set, from the least to the largest, evenly spaced.
    """

    classes: Sequence[int]
    steps: int | None
    quantiles: Sequence[float]

    def check(self, name: str) -> None:
        """Raises a `UserError` where these cannot be."""
        if not self.classes:
            raise UserError(f"{name}(semantic_mask=...): expected ids of classes that may move, such as (1, 2).")
        if self.steps is not None and self.steps < 1:
            raise UserError(f"{name}(semantic_steps={self.steps}): expected at least 1.")
        if len(self.quantiles) < 2 or list(self.quantiles) != sorted(self.quantiles):
            raise UserError(
                f"{name}(iou_quantiles={self.quantiles}): expected two or more, from the least to the largest."
            )

    def threshold(self, step: Any, size: int) -> jax.Array:
        """The IoU below which each clip's frames are masked, (B, 1).

        Args:
            step: of training, (B,) integers; None where there is none: then no frame is masked.
            size: B.
        """
        share = jnp.zeros(size) if step is None else 1 - jnp.clip(jnp.asarray(step) / (self.steps or 1), 0, 1)
        if self.steps is None:
            share = jnp.ones(size)
        at = np.linspace(0, 1, len(self.quantiles))
        threshold = jnp.interp(share, at, jnp.asarray(self.quantiles, jnp.float32))
        # A share of 1 is all of the frames, the best overlap too; one of 0 is none.
        return jnp.where(share >= 1, 2.0, jnp.where(share <= 0, 0.0, threshold))[:, None]

    def seen(self, logits: jax.Array, pixels: jax.Array, inside: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """What may move in each frame, by its own segmentation and by its neighbours'.

        Args:
            logits: (B, s, H, W, C).
            pixels: where each frame's pixels are in its neighbour, (B, 2, s - 1, H, W, 2).
            inside: whether they are there, (B, 2, s - 1, H, W, 1).

        Returns:
            The pixels of either, (B, s, H, W, 1) bool; the IoU of the two in each frame, (B, s), 1 where nothing may
            move; and whether anything may, (B, s) bool. No gradients pass.
        """
        classes = jnp.argmax(logits, axis=-1, keepdims=True)
        movable = jnp.isin(classes, jnp.asarray(self.classes))
        warped, _ = geometry.sample(neighbours.there(movable.astype(jnp.float32)), jax.lax.stop_gradient(pixels))
        found = (warped > 0.5) & inside
        own = neighbours.here(movable) & inside
        both, either = (
            jnp.sum(neighbours.by_frame(jnp.sum(x, axis=(-3, -2, -1), dtype=jnp.float32), 0.0), axis=1)
            for x in (found & own, found | own)
        )
        pixels_of_either = movable | (jnp.sum(neighbours.by_frame(found.astype(jnp.float32), 0.0), axis=1) > 0)
        return pixels_of_either, jnp.where(either > 0, both / jnp.maximum(either, 1.0), 1.0), either > 0
