"""Batches in parts that are worked through one after the other: losses and Jacobians are added up before balancing."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from mtljax.balance import BalanceState, is_private, linearize, scale_private
from mtljax.train.step.owners import Owners, private_from
from mtljax.train.step.replica import Balanced, Replica, Rows, loss_terms, next_part


class Accumulating(Replica):
    """A replica that works through k parts of its batch, and gives what all of it at once would.

    But for batch statistics, which are those of each part. What moves once a step (`mtljax.models.PER_STEP`) does so
    here too. A method that sees losses needs them before the backward pass, and so takes one forward pass more.

    Args:
        replica: that works on the whole batch.
        parts: k.
    """

    def __init__(self, replica: Replica, parts: int) -> None:
        self.__dict__.update(vars(replica))
        self._parts = parts

    def from_losses(self, params: Any, model_state: Any, balance: BalanceState, batch: Any, key: Any) -> Balanced:
        """Adds up losses, weighs them, then adds up gradients."""
        losses, present, scale = self._means(params, model_state, batch, key)
        weights, balance = self._balancer.weigh(balance, losses=losses, present=present)
        gradient: Any = None
        at: Any = None
        before = model_state
        for part in self._split(batch, key):
            state = next_part(before, model_state)
            at = linearize(self._terms, after(params, gradient), state, *part, has_aux=True)
            found = at.weighted(weights.shared * scale)
            if weights.private is not weights.shared:
                found = private_from(at.weighted(weights.private * scale), found, at.owners)
            gradient, model_state = added(gradient, found), at.aux[1]
        owners = Owners.of(at.owners, params)
        return Balanced(self._total(gradient), losses, present, None, balance, model_state, owners)

    def rows(self, params: Any, model_state: Any, batch: Any, key: Any) -> Rows:
        """Adds up losses and Jacobians."""
        terms: Any = None
        jacobian: Any = None
        at: Any = None
        before = model_state
        for part in self._split(batch, key):
            state = next_part(before, model_state)
            at = linearize(self._terms, after(params, jacobian), state, *part, has_aux=True)
            counts, model_state = at.aux
            terms = added(terms, (at.losses, counts))
            jacobian = added(jacobian, self._rows(at, params))
        losses, present, scale = means(self._sum(terms))
        return Rows(scaled(jacobian, at.owners, scale), at.owners, losses, present, model_state)

    def losses(self, params: Any, model_state: Any, batch: Any, key: Any) -> jax.Array:
        """Adds up losses."""
        return self._means(params, model_state, batch, key)[0]

    def _means(self, params: Any, model_state: Any, batch: Any, key: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
        terms: Any = None
        for part in self._split(batch, key):
            totals, (counts, _) = self._terms(after(params, terms), model_state, *part)
            terms = added(terms, (jnp.stack(totals), counts))
        return means(self._sum(terms))

    def _split(self, batch: Any, key: jax.Array) -> Iterator[tuple[Any, jax.Array]]:
        """Every k-th example, and a key of its own."""
        for i in range(self._parts):
            yield jax.tree.map(lambda x, i=i: x[i :: self._parts], batch), jax.random.fold_in(key, i)

    def _terms(self, params: Any, model_state: Any, batch: Any, key: Any) -> tuple[tuple[jax.Array, ...], Any]:
        """This part's sums of losses, and its counts of labels."""
        predictions, model_state = self._told(params, model_state, key, batch)
        found = [loss_terms(task, name, predictions, batch) for name, task in self._tasks.items()]
        counts = jax.lax.stop_gradient(jnp.stack([count for _, count in found]))
        return tuple(total for total, _ in found), (counts, model_state)


def means(terms: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Sums of losses and counts of labels -> losses, presence, and what a sum is to be multiplied by to be a mean."""
    totals, counts = terms
    scale = 1 / jnp.where(counts > 0, counts, 1.0)
    return totals * scale, counts > 0, scale


def added(before: Any, found: Any) -> Any:
    """A sum of trees so far, None at first, and one more."""
    return found if before is None else jax.tree.map(jnp.add, before, found)


def after(params: Any, before: Any) -> Any:
    """The parameters, once what comes before is there: so only one part's activations are held at a time."""
    return params if before is None else jax.lax.optimization_barrier((params, before))[0]


def scaled(jacobian: Any, owners: Any, scale: jax.Array) -> Any:
    """A Jacobian whose row t is multiplied by number t of `scale`, (T,)."""

    def times(leaf: jax.Array, owner: tuple[int, ...]) -> jax.Array:
        if is_private(owner):
            return leaf
        return (scale.reshape(-1, *[1] * (leaf.ndim - 1)) * leaf).astype(leaf.dtype)

    leaves, structure = jax.tree.flatten(scale_private(jacobian, jacobian, owners, scale))
    return structure.unflatten(map(times, leaves, structure.flatten_up_to(owners)))
