"""Predictions that are distilled into each other."""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.parts.norm import Norm
from mtljax.models.parts.pyramid import lateral, resized
from mtljax.models.sharing.base.copies import copies
from mtljax.models.sharing.base.hierarchy import Parents
from mtljax.models.sharing.base.noted import INITIAL, note
from mtljax.models.sharing.base.tasked import Tasked, maps_of


class PADNet(Tasked, nn.Module):
    """A prediction-and-distillation network (Xu et al. 2018, module C): predict, exchange features, predict again.

    From the shared features each task makes a map of its own and an initial prediction of it, on which its loss is
    computed too. Its final features are F_t + sum over the others s of sigmoid(conv(F_t)) * conv(F_s) (eq. 3 and 4: the
    attention is the receiver's), from which its head predicts.

    Attributes:
        encoder: which gives maps; the group `shared`.
        heads: task name -> head, of the initial and, with other parameters, of the final predictions.
        parents: task name -> names of the tasks whose predictions its head takes, or role -> task.
        edges: `parent->task` -> `detached`, `attached`, `none` or `truth`: what of a parent's prediction reaches a head
            (`mtljax.models.sharing.base.hierarchy`).
        width: channels of the tasks' maps.
        remat: whether each backward pass computes the encoder's activations again, rather than keeping them.

    Raises:
        ValueError: for an encoder that gives vectors.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> heads = {"a": mtl.heads.Dense(2, width=4), "b": mtl.heads.Dense(1, width=4)}
        >>> model = PADNet(mtl.encoders.ResNet(depth=10, width=4, norm="group"), heads, width=8)
        >>> variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))
        >>> sorted(variables["params"])
        ['distilled_a', 'distilled_b', 'encoder', 'heads_a', 'heads_b', 'initial_a', 'initial_b', 'own_a', 'own_b']
    """

    encoder: Any
    heads: Mapping[str, Any]
    parents: Parents | None = None
    width: int = 64
    remat: bool = False
    edges: Mapping[str, str] | None = None
    own_parts: ClassVar[Mapping[str, int]] = {"heads": 0, "own": 0, "initial": 0, "distilled": 0}

    def setup(self) -> None:
        """Maps, initial heads and exchanges of each task."""
        tasks = list(self.heads)
        self.own = copies(_OwnMap(self.width, parent=None), tasks)
        self.initial = {task: head.clone(parent=None, name=None) for task, head in self.heads.items()}
        self.distilled = copies(_Distilled(self.width, parent=None), tasks)

    def encode(
        self,
        images: jax.Array,
        *,
        train: bool = False,
        tasks: Sequence[str] | None = None,
        camera: Any = None,
        labels: Any = None,
    ) -> Any:
        """Each task's final features; initial predictions, which training notes, know camera and labels."""
        levels = maps_of(self, self.encoder, self._encoded(self.encoder, self._folded(images), train), "exchanges")
        maps = {task: self.own[task](levels) for task in self.heads}
        if train or self.is_initializing():
            wanted = None if self.is_initializing() else tasks
            known = {"camera": camera, "labels": labels}
            initial = self._predicted(self.initial, maps, images, train=train, tasks=wanted, **known)
            for task, prediction in initial.items():
                note(self, INITIAL, task, prediction)
        return {task: self.distilled[task](maps, task) for task in self.in_order(tasks)}


class _OwnMap(nn.Module):
    """The features of a pyramid at the size of its finest level, for one task."""

    width: int

    @nn.compact
    def __call__(self, levels: Sequence[jax.Array]) -> jax.Array:
        laterals = [lateral(level, number, self.width, level.dtype) for number, level in enumerate(levels, 1)]
        x = reduce(jnp.add, (resized(x, levels[0].shape[1:3]) for x in laterals))
        return nn.relu(Norm("group", dtype=x.dtype, name="norm")(x))


class _Distilled(nn.Module):
    """One task's map with what it takes of the others'."""

    width: int

    @nn.compact
    def __call__(self, maps: Mapping[str, jax.Array], task: str) -> jax.Array:
        own = maps[task]
        attention = nn.sigmoid(nn.Conv(self.width, (3, 3), dtype=own.dtype, name="attention")(own))
        message = sum(
            nn.Conv(self.width, (3, 3), use_bias=False, dtype=own.dtype, name=f"from_{other}")(x)
            for other, x in maps.items()
            if other != task
        )
        return own + attention * message
