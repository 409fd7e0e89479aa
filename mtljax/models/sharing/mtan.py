"""A shared trunk with attention of each task's own."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.parts.norm import Norm
from mtljax.models.parts.pyramid import resized
from mtljax.models.sharing.base.copies import copies
from mtljax.models.sharing.base.hierarchy import Parents
from mtljax.models.sharing.base.tasked import Tasked, maps_of


class MTAN(Tasked, nn.Module):
    """A multi-task attention network (Liu et al. 2019): each task selects features of a shared trunk by masks.

    For every level of the trunk's pyramid, a task's mask in (0, 1), of two 1 x 1 convolutions on the level and on what
    the task selected one level before, multiplies the level. The paper reads two layers in each block of its trunk for
    a mask; here the mask reads and selects from the one map that the trunk gives for the block.

    Attributes:
        encoder: the trunk, which gives maps; the group `shared`.
        heads: task name -> head.
        parents: task name -> names of the tasks whose predictions its head takes, or role -> task.
        edges: `parent->task` -> `detached`, `attached`, `none` or `truth`: what of a parent's prediction reaches a head
            (`mtljax.models.sharing.base.hierarchy`).
        norm: `batch` (the paper), `group` or `none`.
        axis_name: the mapped axis over which batch statistics are synchronised.
        remat: whether each backward pass computes the trunk's activations again, rather than keeping them.

    Raises:
        ValueError: for a trunk that gives vectors.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> heads = {"a": mtl.heads.Linear(2), "b": mtl.heads.Linear(1)}
        >>> model = MTAN(mtl.encoders.ResNet(depth=10, width=4, norm="group"), heads, norm="group")
        >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
        >>> sorted(variables["params"])
        ['attention_a', 'attention_b', 'encoder', 'heads_a', 'heads_b']
    """

    encoder: Any
    heads: Mapping[str, Any]
    parents: Parents | None = None
    norm: str = "batch"
    axis_name: str | tuple[str, ...] | None = None
    remat: bool = False
    edges: Mapping[str, str] | None = None
    own_parts: ClassVar[Mapping[str, int]] = {"heads": 0, "attention": 0}

    def setup(self) -> None:
        """The masks of each task."""
        self.attention = copies(_Attention(self.norm, self.axis_name, parent=None), list(self.heads))

    def encode(self, images: jax.Array, *, train: bool = False, tasks: Sequence[str] | None = None) -> Any:
        """Each task's selection from the trunk's features."""
        levels = maps_of(self, self.encoder, self._encoded(self.encoder, self._folded(images), train), "selects from")
        return {task: self.attention[task](levels, train) for task in self.in_order(tasks)}


class _Attention(nn.Module):
    """One task's masks."""

    norm: str
    axis_name: str | tuple[str, ...] | None

    @nn.compact
    def __call__(self, levels: Sequence[jax.Array], train: bool) -> tuple[jax.Array, ...]:
        selected: list[jax.Array] = []
        for i, level in enumerate(levels):
            seen = level
            if selected:
                down = self._layer(selected[-1], level.shape[-1], 3, f"down{i + 1}", train)
                seen = jnp.concatenate([level, resized(nn.relu(down), level.shape[1:3])], axis=-1)
            hidden = nn.relu(self._layer(seen, level.shape[-1], 1, f"mask{i + 1}_hidden", train))
            selected.append(nn.sigmoid(self._layer(hidden, level.shape[-1], 1, f"mask{i + 1}", train)) * level)
        return tuple(selected)

    def _layer(self, x: jax.Array, channels: int, size: int, name: str, train: bool) -> jax.Array:
        x = nn.Conv(channels, (size, size), dtype=x.dtype, name=name)(x)
        return Norm(self.norm, self.axis_name, x.dtype, name=f"{name}_norm")(x, train)
