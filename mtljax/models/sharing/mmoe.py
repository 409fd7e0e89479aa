"""Experts that all tasks share, and a gate for each."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax

from mtljax.models.sharing.base.copies import copies, several
from mtljax.models.sharing.base.hierarchy import Parents
from mtljax.models.sharing.base.mixture import Gate, Mixture, mixed


class MMoE(Mixture, nn.Module):
    """Multi-gate mixture of experts (Ma et al. 2018, eq. 6 and 7): each task's softmax gate mixes shared experts.

    z_t = sum_e softmax(W_t x)_e expert_e(x). With one expert it is `MultiTask`.

    Attributes:
        heads: task name -> head.
        expert: an encoder that gives vectors; there are `experts` of it, the group `shared`. Gates are in their tasks'
            groups.
        experts: E.
        parents: task name -> names of the tasks whose predictions its head takes, or role -> task.
        edges: `parent->task` -> `detached`, `attached`, `none` or `truth`: what of a parent's prediction reaches a head
            (`mtljax.models.sharing.base.hierarchy`).
        remat: whether each backward pass computes the experts' activations again, rather than keeping them.

    Raises:
        ValueError: for an expert that gives feature maps.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> heads = {"a": mtl.heads.Linear(2), "b": mtl.heads.Linear(1)}
        >>> model = MMoE(heads, mtl.encoders.MLP((16,)), experts=3)
        >>> sorted(jax.eval_shape(model.init, jax.random.key(0), jnp.ones((2, 5)))["params"])
        ['gates_a', 'gates_b', 'heads_a', 'heads_b', 'shared_experts_0', 'shared_experts_1', 'shared_experts_2']
    """

    heads: Mapping[str, Any]
    expert: Any
    experts: int = 8
    parents: Parents | None = None
    remat: bool = False
    edges: Mapping[str, str] | None = None
    own_parts: ClassVar[Mapping[str, int]] = {"heads": 0, "gates": 0}

    def setup(self) -> None:
        """Experts and gates."""
        self.shared_experts = several(self.expert, self.experts)
        self.gates = copies(self.gate(), list(self.heads))

    def gate(self) -> nn.Module:
        """A gate, as every task has one."""
        return Gate(self.experts, parent=None)

    def encode(self, images: jax.Array, *, train: bool = False, tasks: Sequence[str] | None = None) -> Any:
        """Each task's mixture."""
        x = self._folded(images)
        outputs = self._vectors(self.shared_experts, x, train)
        return {task: mixed(self._gated(task, x, train), outputs) for task in self.in_order(tasks)}

    def _gated(self, task: str, x: jax.Array, train: bool) -> jax.Array:
        return self.gates[task](x, train)
