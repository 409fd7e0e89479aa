"""Mixtures of experts, of which each task takes its own share."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.sharing.tasked import PENALTIES, Tasked, copies


class _Mixture(Tasked):
    """What mixtures share: experts that give vectors. A mixin of Linen modules."""

    def __post_init__(self) -> None:
        self._adopt(expert=self.expert, heads=self.heads)
        super().__post_init__()

    def _vectors(self, experts: Sequence[nn.Module], x: jax.Array, train: bool) -> list[jax.Array]:
        found = [self._encoded(expert, x, train) for expert in experts]
        for features in found:
            if getattr(features, "ndim", None) != 2:
                raise ValueError(
                    f"{type(self).__name__} mixes vectors; its expert {type(self.expert).__name__} gives feature maps. "
                    "Experts can be encoders that give vectors: MLP, LeNet or AlexNet(dense=False)."
                )
        return found


def several(module: nn.Module, number: int) -> list[nn.Module]:
    """Modules as the given one, each with parameters of its own."""
    return [module.clone(parent=None, name=None) for _ in range(number)]


def _mixed(weights: jax.Array, outputs: Sequence[jax.Array]) -> jax.Array:
    """(B, E) weights of E outputs (B, F)."""
    return jnp.einsum("be,ebf->bf", weights.astype(outputs[0].dtype), jnp.stack(outputs))


class _Gate(nn.Module):
    """Shares of `number` experts, from the input: (B, ...) -> (B, number)."""

    number: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        logits = nn.Dense(self.number, use_bias=False, name="logits")(x.reshape(x.shape[0], -1))
        return nn.softmax(logits.astype(jnp.float32))


class MMoE(_Mixture, nn.Module):
    """Multi-gate mixture of experts (Ma et al. 2018, eq. 6 and 7): each task's softmax gate mixes shared experts.

    z_t = sum_e softmax(W_t x)_e expert_e(x). With one expert it is `MultiTask`.

    Attributes:
        heads: task name -> head.
        expert: an encoder that gives vectors; there are `experts` of it, the group `shared`. Gates are in their tasks'
            groups.
        experts: E.
        parents: task name -> names of the tasks whose predictions its head takes.
        remat: whether each backward pass computes the experts' activations again, rather than keeping them.

    Raises:
        ValueError: for an expert that gives feature maps.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> heads = {"a": mtl.heads.Linear(2), "b": mtl.heads.Linear(1)}
        >>> model = MMoE(heads, mtl.encoders.MLP((16,)), experts=3)
        >>> sorted(model.init(jax.random.key(0), jnp.ones((2, 5)))["params"])
        ['gates_a', 'gates_b', 'heads_a', 'heads_b', 'shared_experts_0', 'shared_experts_1', 'shared_experts_2']
    """

    heads: Mapping[str, Any]
    expert: Any
    experts: int = 8
    parents: Mapping[str, Sequence[str]] | None = None
    remat: bool = False
    own_parts: ClassVar[Mapping[str, int]] = {"heads": 0, "gates": 0}

    def setup(self) -> None:
        """Experts and gates."""
        self.shared_experts = several(self.expert, self.experts)
        self.gates = copies(self.gate(), list(self.heads))

    def gate(self) -> nn.Module:
        """A gate, as every task has one."""
        return _Gate(self.experts, parent=None)

    def encode(self, images: jax.Array, *, train: bool = False, tasks: Sequence[str] | None = None) -> Any:
        """Each task's mixture."""
        x = self._folded(images)
        outputs = self._vectors(self.shared_experts, x, train)
        return {task: _mixed(self._gated(task, x, train), outputs) for task in self.in_order(tasks)}

    def _gated(self, task: str, x: jax.Array, train: bool) -> jax.Array:
        return self.gates[task](x, train)


_LEAST = 1e-6  # of shares
_RANGE = 0.05  # in which the logits of selectors start, as in the authors' code


class DSelectK(MMoE, nn.Module):
    """DSelect-k: each task's gate selects k of E experts, in the end no more (Hazimeh et al. 2021, section 3).

    Each of k selectors has a binary code of log2 E digits, smooth steps of linear functions of the input that start
    between -gamma / 100 and gamma / 100; an expert's share in a selector is the product over the digits of its number.
    A softmax weighs the selectors. The entropy of the shares, times `entropy`, is added to the task's loss, so that
    each selector comes to choose one expert. Where E is no power of 2, shares are those of the numbers that experts
    have, and `entropy` over their mass is added too. Inputs should be of order 1: a digit beyond gamma / 2 is settled
    and learns no more.

    Attributes:
        heads: task name -> head.
        expert: an encoder that gives vectors.
        experts: E.
        parents: task name -> names of the tasks whose predictions its head takes.
        remat: whether each backward pass computes the experts' activations again, rather than keeping them.
        k: number of selectors.
        gamma: width of the smooth step.
        entropy: factor of the penalty.
        per_example: whether gates read the input; else one choice is learned for all examples.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> model = DSelectK({"a": mtl.heads.Linear(2)}, mtl.encoders.MLP((16,)), experts=4, k=2)
        >>> model.init(jax.random.key(0), jnp.ones((2, 5)))["params"]["gates_a"]["codes"]["kernel"].shape
        (5, 4)
    """

    k: int = 2
    gamma: float = 1.0
    entropy: float = 1e-3
    per_example: bool = True

    def gate(self) -> nn.Module:
        """A gate, as every task has one."""
        if not 1 <= self.k <= self.experts:
            raise ValueError(f"DSelectK(k={self.k}, experts={self.experts}): expected 1 <= k <= experts.")
        return _Selectors(self.experts, self.k, self.gamma, self.per_example, parent=None)

    def _gated(self, task: str, x: jax.Array, train: bool) -> jax.Array:
        weights, penalty = self.gates[task](x, train)
        if train:
            self._noted(PENALTIES, task, self.entropy * penalty)
        return weights


def smooth_step(x: jax.Array, gamma: float) -> jax.Array:
    """0 up to -gamma/2, 1 from gamma/2 on, a cubic between (Hazimeh et al. 2021, eq. 3).

    Example:
        >>> print(smooth_step(jnp.array([-1.0, 0.0, 0.5]), 1.0))
        [0.  0.5 1. ]
    """
    x = jnp.clip(x, -gamma / 2, gamma / 2)
    return -2 / gamma**3 * x**3 + 3 / (2 * gamma) * x + 0.5


class _Selectors(nn.Module):
    """Shares of `number` experts in k selectors, and the penalty on them: (B, ...) -> (B, number), ()."""

    number: int
    k: int
    gamma: float
    per_example: bool

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        digits = max(1, math.ceil(math.log2(self.number)))
        x = x.reshape(x.shape[0], -1)
        x = x if self.per_example else jnp.ones((len(x), 1), x.dtype)
        codes = self._linear("codes", self.k * digits, self.gamma / 100)(x)
        step = smooth_step(codes.reshape(-1, self.k, 1, digits), self.gamma)
        bits = (jnp.arange(2**digits)[:, None] >> jnp.arange(digits)) & 1
        shares = jnp.prod(jnp.where(bits == 1, step, 1 - step), axis=-1)  # (B, k, 2^digits)
        selectors = nn.softmax(self._linear("selectors", self.k, _RANGE)(x))
        mass = shares[..., : self.number].sum(axis=-1, keepdims=True)
        # A selector of a number that no expert has takes all alike.
        known = (shares[..., : self.number] + _LEAST / self.number) / (mass + _LEAST)
        entropy = -jnp.sum(known * jnp.log(known + _LEAST), axis=-1).sum(axis=-1)
        astray = jnp.sum(1 / jnp.maximum(mass[..., 0], _LEAST) - 1, axis=-1)
        return jnp.einsum("bk,bke->be", selectors, known), jnp.mean(entropy + astray)

    def _linear(self, name: str, channels: int, reach: float) -> Any:
        """A linear layer whose parameters start between -reach and reach; without an input, only the kernel's do."""

        def init(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
            return jax.random.uniform(key, shape, dtype, -reach, reach)

        bias = init if self.per_example else nn.initializers.zeros
        layer = nn.Dense(channels, kernel_init=init, bias_init=bias, name=name)
        return lambda x: layer(x).astype(jnp.float32)


class PLE(_Mixture, nn.Module):
    """Progressive layered extraction (Tang et al. 2020, section 4.2): levels of shared experts and of each task's own.

    At each level a task's softmax gate mixes its own experts and the shared ones; a shared gate mixes all, for the
    shared experts of the next level. Gates read what their experts read. One level is `CGC`.

    Attributes:
        heads: task name -> head.
        expert: an encoder that gives vectors, and from the second level on takes its own output.
        shared: number of shared experts a level, the group `shared`.
        own: number of experts a level of each task's own, in its group.
        levels: number of levels.
        parents: task name -> names of the tasks whose predictions its head takes.
        remat: whether each backward pass computes the experts' activations again, rather than keeping them.

    Raises:
        ValueError: for an expert that gives feature maps.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> model = PLE({"a": mtl.heads.Linear(2)}, mtl.encoders.MLP((16,)), shared=1, own=1, levels=1)
        >>> sorted(model.init(jax.random.key(0), jnp.ones((2, 5)))["params"])
        ['gates_a_0', 'heads_a', 'own_experts_a_0_0', 'shared_experts_0_0']
    """

    heads: Mapping[str, Any]
    expert: Any
    shared: int = 4
    own: int = 2
    levels: int = 2
    parents: Mapping[str, Sequence[str]] | None = None
    remat: bool = False
    own_parts: ClassVar[Mapping[str, int]] = {"heads": 0, "gates": 1, "own_experts": 2}  # by level, by level and number

    def setup(self) -> None:
        """Experts and gates of all levels."""
        every = range(self.levels)
        self.shared_experts = [several(self.expert, self.shared) for _ in every]
        self.own_experts = {task: [several(self.expert, self.own) for _ in every] for task in self.heads}
        for_task, for_all = self.own + self.shared, len(self.heads) * self.own + self.shared
        self.gates = {task: several(_Gate(for_task, parent=None), self.levels) for task in self.heads}
        self.shared_gates = several(_Gate(for_all, parent=None), self.levels - 1)

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
                common = _mixed(self.shared_gates[level](common, train), everything)
            inputs = {t: _mixed(gates[t], [*own[t], *shared]) for t in wanted}
        return inputs


class CGC(PLE, nn.Module):
    """Customised gate control (Tang et al. 2020, section 4.1): `PLE` with one level.

    Attributes:
        heads: task name -> head.
        expert: an encoder that gives vectors.
        shared: number of shared experts, the group `shared`.
        own: number of experts of each task's own, in its group.
        levels: 1.
        parents: task name -> names of the tasks whose predictions its head takes.
        remat: whether each backward pass computes the experts' activations again, rather than keeping them.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> model = CGC({"a": mtl.heads.Linear(2)}, mtl.encoders.MLP((16,)), shared=2, own=1)
        >>> model.init(jax.random.key(0), jnp.ones((2, 5)))["params"]["gates_a_0"]["logits"]["kernel"].shape
        (5, 3)
    """

    levels: int = 1

    def __post_init__(self) -> None:
        if self.levels != 1:
            raise ValueError(f"CGC has one level, not {self.levels}; PLE has as many as are wanted.")
        super().__post_init__()
