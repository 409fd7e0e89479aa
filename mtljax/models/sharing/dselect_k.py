"""Experts that all tasks share, of which each comes to select a few."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtljax.models.parts.vectors import as_vectors
from mtljax.models.sharing.base.noted import PENALTIES, note
from mtljax.models.sharing.mmoe import MMoE

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
        parents: task name -> names of the tasks whose predictions its head takes, or role -> task.
        edges: `parent->task` -> `detached`, `attached`, `none` or `truth`: what of a parent's prediction reaches a head
            (`mtljax.models.sharing.base.hierarchy`).
        remat: whether each backward pass computes the experts' activations again, rather than keeping them.
        k: number of selectors.
        gamma: width of the smooth step.
        entropy: factor of the penalty.
        per_example: whether gates read the input; else one choice is learned for all examples.

    Example:
        >>> import jax, jax.numpy as jnp, mtljax as mtl
        >>> model = DSelectK({"a": mtl.heads.Linear(2)}, mtl.encoders.MLP((16,)), experts=4, k=2)
        >>> params = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((2, 5)))["params"]
        >>> params["gates_a"]["codes"]["kernel"].shape
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
            note(self, PENALTIES, task, self.entropy * penalty)
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
        x = as_vectors(x, "Gate")
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
