"""Readouts: heads on features that frozen encoders gave, which stand packed in the place of an image."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mtljax.errors import UserError
from mtljax.models.sharing.base.hierarchy import Parents
from mtljax.models.sharing.base.tasked import Tasked

Shape = tuple[int, ...]


def packed(levels: Sequence[np.ndarray], size: tuple[int, int] | None = None) -> np.ndarray:
    """Levels of features of N images, from fine to coarse, as one array of the images' size.

    What stands in the place of an image has its height and width, by which tasks know where its labels lie.

    Args:
        levels: (N, h, w, C) each, or vectors (N, F), which count as maps of one pixel.
        size: (H, W) of the images; of vectors alone, and where it is None, the finest level's.

    Returns:
        (N, H, W, D): of each level as many numbers a pixel as hold it, the last ones 0.

    Example:
        >>> packed([np.ones((2, 4, 4, 3)), np.ones((2, 2, 2, 5))]).shape
        (2, 4, 4, 5)
        >>> packed([np.ones((2, 4, 4, 3))], size=(8, 6)).shape
        (2, 8, 6, 1)
    """
    finest = _size([level.shape[1:] for level in levels])
    height, width = finest if size is None or finest == (1, 1) else size
    parts = []
    for level in levels:
        flat = level.reshape(len(level), -1)
        depth = -(-flat.shape[1] // (height * width))
        flat = np.pad(flat, [(0, 0), (0, depth * height * width - flat.shape[1])])
        parts.append(flat.reshape(-1, height, width, depth))
    return np.concatenate(parts, axis=-1)


def unpacked(x: jax.Array, shapes: Sequence[Shape]) -> tuple[jax.Array, ...]:
    """The levels that `packed` was given.

    Args:
        x: (N, H, W, D).
        shapes: of the levels without N.

    Raises:
        UserError: where they are not what was packed.

    Example:
        >>> x = packed([np.ones((2, 4, 4, 3)), np.full((2, 2, 2, 5), 2.0)])
        >>> fine, coarse = unpacked(x, [(4, 4, 3), (2, 2, 5)])
        >>> fine.shape, coarse.shape, float(coarse.min())
        ((2, 4, 4, 3), (2, 2, 2, 5), 2.0)
    """
    height, width = x.shape[1:3]
    depths = [-(-math.prod(shape) // (height * width)) for shape in shapes]
    if x.shape[3] != sum(depths):
        raise UserError(
            f"frozen features are packed in shape {tuple(x.shape[1:])}, which are not those of encoders with levels "
            f"{[tuple(shape) for shape in shapes]}; expected features of the encoder that the readout is for."
        )
    parts = jnp.split(x, np.cumsum(depths)[:-1], axis=-1)
    pairs = zip(parts, shapes, strict=True)
    return tuple(part.reshape(len(x), -1)[:, : math.prod(shape)].reshape(-1, *shape) for part, shape in pairs)


def _size(shapes: Sequence[Shape]) -> tuple[int, int]:
    sizes = [shape[:2] if len(shape) == 3 else (1, 1) for shape in shapes]
    return max(size[0] for size in sizes), max(size[1] for size in sizes)


class Readout(Tasked, nn.Module):
    """Heads on packed features: what is left to train of networks whose encoders are frozen.

    Attributes:
        heads: task name -> head.
        levels: shapes of the features' levels, without a batch axis.
        size: (H, W) of the images that they are of; None where predictions have no pixels.
        parents: task name -> names of the tasks whose predictions its head takes, or role -> task.
        edges: `parent->task` -> `detached`, `attached`, `none` or `truth`: what of a parent's prediction reaches a head
            (`mtljax.models.sharing.base.hierarchy`).

    Example:
        >>> import mtljax as mtl
        >>> model = Readout(heads={"a": mtl.heads.Linear(2)}, levels=((4, 4, 3), (2, 2, 5)))
        >>> x = jnp.ones((2, 4, 4, 5))
        >>> model.apply(model.init(jax.random.key(0), x), x)["a"].shape
        (2, 2)
    """

    heads: Mapping[str, Any]
    levels: Sequence[Shape]
    size: tuple[int, int] | None = None
    parents: Parents | None = None
    edges: Mapping[str, str] | None = None
    adopted: ClassVar[tuple[str, ...]] = ("heads",)
    own_features: ClassVar[bool] = False

    def encode(self, images: jax.Array, *, train: bool = False, tasks: Sequence[str] | None = None) -> Any:
        """The features, frames folded into the batch: nothing is computed."""
        levels = unpacked(self._folded(images), self.levels)
        return levels if len(self.levels) > 1 else next(iter(levels))

    def decode(
        self,
        features: Any,
        images: jax.Array,
        *,
        train: bool = False,
        tasks: Sequence[str] | None = None,
        camera: Any = None,
        labels: Any = None,
    ) -> dict[str, jax.Array]:
        """Predictions, of the size of the images that features are of."""
        like: Any = images
        if self.size is not None:
            like = jax.ShapeDtypeStruct((*images.shape[:-3], *self.size, 1), images.dtype)
        return super().decode(features, like, train=train, tasks=tasks, camera=camera, labels=labels)
