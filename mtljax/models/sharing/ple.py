"""Levels of experts, shared ones and each task's own."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax

from mtljax.models.sharing.base.copies import several
from mtljax.models.sharing.base.hierarchy import Parents
from mtljax.models.sharing.base.mixture import Gate, Mixture, mixed


class PLE(Mixture, nn.Module):
    """Progressive layered extraction (Tang et al. 2020, section 4.2): levels of shared experts and of each task's own.

    At each level a task's softmax gate mixes its own experts and the shared ones; a shared gate mixes all, for the
    shared experts of the next level. Gates read what their experts read. One level is `CGC`.

    Attributes:
        heads: task name -> head.
        expert: an encoder that gives vectors, and from the second level on takes its own output.
        shared: number of shared experts a level, the group `shared`.
        own: number of experts a level of each task's own, in its group.
        levels: number of levels.
        parents: task name -> names of the tasks whose predictions its head takes, or role -> task.
        edges: `parent->task` -> `detached`, `attached`, `none` or `truth`: what of a parent's prediction reaches a head
            (`mtljax.models.sharing.base.hierarchy`).
        remat: whether each backward pass computes the experts' activations again, rather than keeping them.

    Raises:
        ValueError: for an expert that gives feature maps.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> model = PLE({"a": mtl.heads.Linear(2)}, mtl.encoders.MLP((16,)), shared=1, own=1, levels=1)
        >>> sorted(jax.eval_shape(model.init, jax.random.key(0), jnp.ones((2, 5)))["params"])
        ['gates_a_0', 'heads_a', 'own_experts_a_0_0', 'shared_experts_0_0']
    """

    heads: Mapping[str, Any]
    expert: Any
    shared: int = 4
    own: int = 2
    levels: int = 2
    parents: Parents | None = None
    remat: bool = False
    edges: Mapping[str, str] | None = None
    own_parts: ClassVar[Mapping[str, int]] = {"heads": 0, "gates": 1, "own_experts": 2}  # by level, by level and number

    def setup(self) -> None:
        """Experts and gates of all levels."""
        every = range(self.levels)
        self.shared_experts = [several(self.expert, self.shared) for _ in every]
        self.own_experts = {task: [several(self.expert, self.own) for _ in every] for task in self.heads}
        for_task, for_all = self.own + self.shared, len(self.heads) * self.own + self.shared
        self.gates = {task: several(Gate(for_task, parent=None), self.levels) for task in self.heads}
        self.shared_gates = several(Gate(for_all, parent=None), self.levels - 1)

    def encode(self, images: jax.Array, *, train: bool = False, tasks: Sequence[str] | None = None) -> Any:
        """Each task's mixture at the last level."""
        x = self._folded(images)
        inputs, common = dict.fromkeys(self.heads, x), x
        for level in range(self.levels):
            last = level == self.levels - 1
            # Below the last level the shared gate reads all tasks' experts.
            wanted = self.in_order(tasks) if last else list(self.heads)
            shared = self._vectors(self.shared_experts[level], common, train)
            own = {t: self._vectors(self.own_experts[t][level], inputs[t], train) for t in wanted}
            gates = {t: self.gates[t][level](inputs[t], train) for t in wanted}
            if not last:
                everything = [*(x for t in self.heads for x in own[t]), *shared]
                common = mixed(self.shared_gates[level](common, train), everything)
            inputs = {t: mixed(gates[t], [*own[t], *shared]) for t in wanted}
        return inputs
