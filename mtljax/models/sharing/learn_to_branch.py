"""A tree of layers that is found in training."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.sharing.base.copies import copies
from mtljax.models.sharing.base.hierarchy import Parents
from mtljax.models.sharing.base.joined import check_stages
from mtljax.models.sharing.base.tasked import Tasked


class LearnToBranch(Tasked, nn.Module):
    """Learning to branch (Guo et al. 2020): every node of a layer chooses its parent in the layer before.

    Each stage of the encoder has `nodes` copies. A node's input is the output of one node of the stage before; which,
    is sampled in training with Gumbel noise and a softmax whose temperature falls (eq. 5, 6), and is the likeliest in
    evaluation, so that a tree remains. In the end every task chooses a node for its head. The logits of all choices are
    the optimiser group `branch`. The number of training steps taken is kept in the collection `annealing`: a call with
    `train` is one, and the framework's step lets it move once, in however many parts its batch is worked through.

    Attributes:
        encoder: with stages; the group `shared`.
        heads: task name -> head.
        parents: task name -> names of the tasks whose predictions its head takes, or role -> task.
        edges: `parent->task` -> `detached`, `attached`, `none` or `truth`: what of a parent's prediction reaches a head
            (`mtljax.models.sharing.base.hierarchy`).
        nodes: copies of every stage; by default as many as there are tasks.
        temperature: at the start and at the end of annealing.
        annealing: number of training steps over which the temperature falls, exponentially.
        remat: whether each backward pass computes the stages' activations again, rather than keeping them.

    Raises:
        TypeError: for an encoder without stages.
        ValueError: for a task that is named as a stage.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> heads = {"a": mtl.heads.Linear(2), "b": mtl.heads.Linear(1)}
        >>> model = LearnToBranch(mtl.encoders.MLP((16, 8)), heads)
        >>> params = model.init(jax.random.key(0), jnp.ones((2, 5)))["params"]
        >>> sorted(params), params["branch_a"].shape
        (['branch_a', 'branch_b', 'branch_layer2', 'heads_a', 'heads_b', 'nodes_0', 'nodes_1'], (2,))
    """

    encoder: Any
    heads: Mapping[str, Any]
    parents: Parents | None = None
    nodes: int | None = None
    temperature: tuple[float, float] = (10.0, 0.1)
    annealing: int = 1000
    remat: bool = False
    edges: Mapping[str, str] | None = None
    special_groups: ClassVar[tuple[str, ...]] = ("branch",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stages(self, self.encoder)
        for task in self.heads:
            if task in self.encoder.stages[1:]:
                raise ValueError(
                    f"LearnToBranch: the task {task!r} is named as a stage of {type(self.encoder).__name__}, which has "
                    "choices of its own; expected another name."
                )

    @nn.compact
    def encode(self, images: jax.Array, *, train: bool = False, tasks: Sequence[str] | None = None) -> Any:
        """Each task's features, of the branch that it chose."""
        x = self._folded(images)
        number = self.nodes or len(self.heads)
        copied = copies(self.encoder, [f"nodes_{i}" for i in range(number)])
        nodes = [copied[name].clone(name=name, parent=self) for name in copied]
        temperature = self._temperature(train)
        outputs: list[dict[str, jax.Array]] = [{} for _ in nodes]
        for i, stage in enumerate(self.encoder.stages):
            if i > 0:
                choices = self._choices(f"branch_{stage}", (number, number), temperature, train)
                outputs = [_chosen(choices[j], outputs) for j in range(number)]
            found = [self._staged(node, stage, x, outputs[j], train) for j, node in enumerate(nodes)]
            outputs = [{**before, stage: value} for before, value in zip(outputs, found, strict=True)]
        choices = {task: self._choices(f"branch_{task}", (number,), temperature, train) for task in self.heads}
        return {task: nodes[0].features(_chosen(choices[task], outputs)) for task in self.in_order(tasks)}

    def _choices(self, name: str, shape: tuple[int, ...], temperature: jax.Array, train: bool) -> jax.Array:
        logits = self.param(name, nn.initializers.zeros, shape)
        if not train:
            return jax.nn.one_hot(jnp.argmax(logits, axis=-1), shape[-1])
        noise = jax.random.gumbel(self.make_rng("dropout"), shape)
        return nn.softmax((logits + noise) / temperature)

    def _temperature(self, train: bool) -> jax.Array:
        taken = self.variable("annealing", "steps", lambda: jnp.zeros((), jnp.int32))
        first, last = self.temperature
        now = first * (last / first) ** jnp.minimum(taken.value / self.annealing, 1.0)
        if train and not self.is_initializing():
            taken.value += 1
        return now


def _chosen(weights: jax.Array, outputs: Sequence[Mapping[str, jax.Array]]) -> dict[str, jax.Array]:
    """The outputs of nodes, added up with the given weights."""

    def mixed(*values: jax.Array) -> jax.Array:
        return jnp.einsum("n,n...->...", weights.astype(values[0].dtype), jnp.stack(values))

    # In the order of the stages, which the last output is found by.
    return {stage: mixed(*(node[stage] for node in outputs)) for stage in outputs[0]}
