"""Hard sharing: one encoder, a head per task."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax

from mtljax.errors import unknown
from mtljax.models.sharing.base.hierarchy import Parents
from mtljax.models.sharing.base.tasked import Tasked


class MultiTask(Tasked, nn.Module):
    """One encoder, a head per task (Caruana 1997): images in, a dict of predictions out.

    Images are `(B, H, W, C)`, or clips `(B, s, H, W, C)`, whose frames are folded into the batch for the encoder;
    feature vectors are `(B, F)`. What a head may ask for is listed in `mtljax.models.heads`.

    Attributes:
        encoder: a Linen module, or any pure `init`/`apply` pair.
        heads: task name -> head, each a Linen module or a pure pair.
        parents: task name -> names of the tasks whose predictions its head takes, or role -> task. Predictions are
            made in order of this hierarchy.
        edges: `parent->task` -> `detached`, `attached`, `none` or `truth`: what of a parent's prediction reaches a head
            (`mtljax.models.sharing.base.hierarchy`).
        remat: whether each backward pass computes the encoder's activations again, rather than keeping them.
        gradient_scale: task name -> number by which the gradients that leave its head for the features are multiplied;
            predictions stay as they are. A task that is not named has 1 (SGDepth, Klingner et al. 2020: 0.9 for depth,
            0.1 for segmentation).

    Raises:
        ValueError: for images of another rank, unknown tasks or parents, or a cycle among parents.
        UserError: for an unknown task in `gradient_scale`.
        TypeError: for an encoder or head that is no pure pair.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> model = mtl.MultiTask(
        ...     encoder=mtl.encoders.MLP((16,)),
        ...     heads={"digit": mtl.heads.Linear(10), "slant": mtl.heads.Linear(1)},
        ... )
        >>> images = jnp.ones((2, 8, 8, 3))
        >>> variables = model.init(jax.random.key(0), images)
        >>> jax.tree.map(jnp.shape, dict(model.apply(variables, images)))
        {'digit': (2, 10), 'slant': (2, 1)}
    """

    encoder: Any
    heads: Mapping[str, Any]
    parents: Parents | None = None
    remat: bool = False
    gradient_scale: Mapping[str, float] | None = None
    edges: Mapping[str, str] | None = None
    own_features: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for task in self.gradient_scale or ():
            if task not in self.heads:
                raise unknown("task in gradient_scale", task, self.heads)
        super().__post_init__()

    def encode(self, images: jax.Array, *, train: bool = False, tasks: Sequence[str] | None = None) -> Any:
        """The shared features, frames folded into the batch."""
        return self._encoded(self.encoder, self._folded(images), train)
