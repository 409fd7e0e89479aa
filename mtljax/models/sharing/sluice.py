"""Soft sharing: a network for each task, whose halves of features are mixed."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.parts.pyramid import levels_of
from mtljax.models.sharing.base.copies import copies
from mtljax.models.sharing.base.hierarchy import Parents
from mtljax.models.sharing.base.joined import Joined
from mtljax.models.sharing.base.noted import PENALTIES, note
from mtljax.models.sharing.base.shares import Start
from mtljax.models.sharing.base.stitch import Stitch


class Sluice(Joined, nn.Module):
    """Sluice networks: halves of layers mixed between tasks, and layers mixed for the output (Ruder et al. 2019).

    Every stage's channels are two subspaces; weights alpha, (2K, 2K) a stage, mix the subspaces of all networks.
    Weights beta, (K, L), mix the L stages for a task's output where they have its shape; they scale the levels of a
    pyramid, and an output that has no stage's shape. Both are the optimiser group `stitch`. The subspaces of a task are
    kept apart by a penalty, `orthogonality` times the mean over channel pairs of the squared products of their
    normalised activations: on activations (Bousmalis et al. 2016, eq. 5), where Ruder et al. take the weights, as
    stages of any kind have those.

    Attributes:
        encoder: with stages; every task has one with parameters of its own, in its task's optimiser group.
        heads: task name -> head.
        parents: task name -> names of the tasks whose predictions its head takes, or role -> task.
        edges: `parent->task` -> `detached`, `attached`, `none` or `truth`: what of a parent's prediction reaches a head
            (`mtljax.models.sharing.base.hierarchy`).
        stages: after which networks are joined; all by default.
        alpha: at the start, as in `CrossStitch`.
        orthogonality: factor of the penalty, which is added to the task's loss.
        remat: whether each backward pass computes the stages' activations again, rather than keeping them.

    Raises:
        TypeError: for an encoder without stages.
        ValueError: for an unknown stage, or one with an odd number of channels.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> heads = {"a": mtl.heads.Linear(2), "b": mtl.heads.Linear(1)}
        >>> model = Sluice(mtl.encoders.MLP((8, 8)), heads)
        >>> params = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((2, 5)))["params"]
        >>> params["stitch_layer1"]["alpha"].shape, params["stitch_beta"].shape
        ((4, 4, 1), (2, 2))
    """

    encoder: Any
    heads: Mapping[str, Any]
    parents: Parents | None = None
    stages: Sequence[str] | None = None
    alpha: Start = (0.9, 0.1)
    orthogonality: float = 0.01
    remat: bool = False
    edges: Mapping[str, str] | None = None
    special_groups: ClassVar[tuple[str, ...]] = ("stitch",)

    def setup(self) -> None:
        """A network for each task, and a unit for each stage."""
        self.networks = copies(self.encoder, list(self.heads))
        self.stitch = {stage: Stitch(self.alpha, per_channel=False) for stage in self.joined_after}

    def join(self, stage: str, inputs: Sequence[jax.Array], train: bool) -> Sequence[jax.Array]:
        """One stage's outputs of all networks, mixed by halves."""
        if inputs[0].shape[-1] % 2:
            raise ValueError(f"Sluice halves the channels of stages; {stage} has {inputs[0].shape[-1]}.")
        halves = [half for x in inputs for half in jnp.split(x, 2, axis=-1)]
        for i, task in enumerate(self.heads):
            if train:
                note(self, PENALTIES, task, self.orthogonality * _correlation(*halves[2 * i : 2 * i + 2]))
        mixed = self.stitch[stage](halves)
        return [jnp.concatenate(mixed[2 * i : 2 * i + 2], axis=-1) for i in range(len(inputs))]

    @nn.compact
    def encode(self, images: jax.Array, *, train: bool = False, tasks: Sequence[str] | None = None) -> Any:
        """Each task's own features, of which all networks' are a part."""
        outputs = self._side_by_side(self._folded(images), train)
        whole = {task: self.networks[task].features(outputs[task]) for task in self.heads}
        found = next(iter(whole.values()))
        alike = self._alike(next(iter(outputs.values())), found)
        if not alike:  # the levels of a pyramid, or what is no stage's output
            beta = self.param("stitch_beta", lambda _: jnp.ones((len(whole), len(levels_of(found)))))
            betas = dict(zip(whole, beta, strict=True))
            return {task: _scaled(betas[task], whole[task]) for task in self.in_order(tasks)}
        last = jnp.arange(len(alike)) == len(alike) - 1
        row = jnp.where(last, 0.9, 0.1 / max(1, len(alike) - 1)) if len(alike) > 1 else jnp.ones(1)
        betas = dict(zip(whole, self.param("stitch_beta", lambda _: jnp.tile(row, (len(whole), 1))), strict=True))
        return {
            task: sum(b.astype(found.dtype) * outputs[task][at] for b, at in zip(betas[task], alike, strict=True))
            for task in self.in_order(tasks)
        }

    def _alike(self, outputs: Mapping[str, jax.Array], features: Any) -> list[str]:
        """The stages whose outputs have the shape of features; none have that of a pyramid."""
        if isinstance(features, tuple | list):
            return []
        return [stage for stage in self.encoder.stages if outputs[stage].shape == features.shape]


def _scaled(beta: jax.Array, features: Any) -> Any:
    """Each level of a pyramid, or features of another kind, times its number."""
    levels, structure = jax.tree.flatten(features)
    return structure.unflatten([b.astype(x.dtype) * x for b, x in zip(beta, levels, strict=True)])


def _correlation(a: jax.Array, b: jax.Array) -> jax.Array:
    """Mean over pairs of channels of the squared cosine between their activations over the batch."""
    a, b = (x.reshape(-1, x.shape[-1]).astype(jnp.float32) for x in (a, b))
    a, b = (x * jax.lax.rsqrt(jnp.sum(x * x, axis=0) + 1e-6) for x in (a, b))
    return jnp.mean((a.T @ b) ** 2)
