"""Soft sharing: a network for each task, whose features are mixed after chosen stages."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax

from mtljax.models.sharing.base.copies import copies
from mtljax.models.sharing.base.hierarchy import Parents
from mtljax.models.sharing.base.joined import Joined
from mtljax.models.sharing.base.shares import Start
from mtljax.models.sharing.base.stitch import Stitch


class CrossStitch(Joined, nn.Module):
    """Cross-stitch networks (Misra et al. 2016, eq. 1): after some stages, each network goes on with a mixture.

    The mixing weights alpha are the optimiser group `stitch`, (K, K, C) or (K, K, 1) a stage. The paper has them
    learn 100 to 1000 times as fast as the networks, and starts from networks trained for each task alone.

    Attributes:
        encoder: with stages; every task has one with parameters of its own, in its task's optimiser group.
        heads: task name -> head.
        parents: task name -> names of the tasks whose predictions its head takes, or role -> task.
        edges: `parent->task` -> `detached`, `attached`, `none` or `truth`: what of a parent's prediction reaches a head
            (`mtljax.models.sharing.base.hierarchy`).
        stages: after which networks are stitched; all by default.
        alpha: at the start, (same, different), the share of a network itself and the sum of the others'; `ones`
            (LibMTL's); or `identity` (no sharing).
        per_channel: whether every channel has its own weights (the paper), or a stage has one for all.
        remat: whether each backward pass computes the stages' activations again, rather than keeping them.

    Raises:
        TypeError: for an encoder without stages.
        ValueError: for an unknown stage.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> heads = {"a": mtl.heads.Linear(2), "b": mtl.heads.Linear(1)}
        >>> model = CrossStitch(mtl.encoders.MLP((16, 8)), heads, stages=("layer1",))
        >>> params = model.init(jax.random.key(0), jnp.ones((2, 5)))["params"]
        >>> params["stitch_layer1"]["alpha"].shape
        (2, 2, 16)
    """

    encoder: Any
    heads: Mapping[str, Any]
    parents: Parents | None = None
    stages: Sequence[str] | None = None
    alpha: Start = (0.9, 0.1)
    per_channel: bool = True
    remat: bool = False
    edges: Mapping[str, str] | None = None
    special_groups: ClassVar[tuple[str, ...]] = ("stitch",)

    def setup(self) -> None:
        """A network for each task, and a unit for each stage."""
        self.networks = copies(self.encoder, list(self.heads))
        self.stitch = {stage: Stitch(self.alpha, self.per_channel) for stage in self.joined_after}

    def join(self, stage: str, inputs: Sequence[jax.Array], train: bool) -> Sequence[jax.Array]:
        """One stage's outputs of all networks, mixed."""
        return self.stitch[stage](inputs)

    def encode(self, images: jax.Array, *, train: bool = False, tasks: Sequence[str] | None = None) -> Any:
        """Each task's own features, of which all networks' are a part."""
        outputs = self._side_by_side(self._folded(images), train)
        return {task: self.networks[task].features(outputs[task]) for task in self.in_order(tasks)}
