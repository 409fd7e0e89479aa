"""No sharing: a network for each task."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax

from mtljax.models.sharing.base.copies import copies
from mtljax.models.sharing.base.hierarchy import Parents
from mtljax.models.sharing.base.tasked import Tasked


class SingleTask(Tasked, nn.Module):
    """A network of its own for every task, in one program: the baseline that sharing is measured against.

    Attributes:
        encoder: of every network; each has parameters of its own, in its task's optimiser group.
        heads: task name -> head.
        parents: task name -> names of the tasks whose predictions its head takes, or role -> task.
        edges: `parent->task` -> `detached`, `attached`, `none` or `truth`: what of a parent's prediction reaches a head
            (`mtljax.models.sharing.base.hierarchy`).
        remat: whether each backward pass computes the encoders' activations again, rather than keeping them.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> heads = {"a": mtl.heads.Linear(2), "b": mtl.heads.Linear(1)}
        >>> model = SingleTask(mtl.encoders.MLP((16,)), heads)
        >>> sorted(jax.eval_shape(model.init, jax.random.key(0), jnp.ones((2, 5)))["params"])
        ['heads_a', 'heads_b', 'networks_a', 'networks_b']
    """

    encoder: Any
    heads: Mapping[str, Any]
    parents: Parents | None = None
    remat: bool = False
    edges: Mapping[str, str] | None = None
    own_parts: ClassVar[Mapping[str, int]] = {"heads": 0, "networks": 0}

    def setup(self) -> None:
        """One network for each task."""
        self.networks = copies(self.encoder, list(self.heads))

    def encode(self, images: jax.Array, *, train: bool = False, tasks: Sequence[str] | None = None) -> Any:
        """Each task's own features."""
        x = self._folded(images)
        return {task: self._encoded(self.networks[task], x, train) for task in self.in_order(tasks)}
