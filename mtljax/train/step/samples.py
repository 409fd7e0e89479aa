"""Batches in independent parts: a Jacobian of each, for balancers that look at several."""

from typing import Any

import jax

from mtljax.balance import BalanceState, gramian, linearize
from mtljax.train.step.accumulation import Accumulating, added, means, scaled
from mtljax.train.step.owners import Owners
from mtljax.train.step.replica import Balanced, next_part


class Sampling(Accumulating):
    """A replica that gives the Jacobian of each of k parts of its batch.

    Each is k times the part's share of the whole batch's Jacobian: divided by the count of labels in all of the batch,
    so that their mean is what the whole batch gives, however labels fall. A task is present where any part has it; in a
    part without a label of it its gradient is 0.
    """

    def from_samples(self, params: Any, model_state: Any, balance: BalanceState, batch: Any, key: Any) -> Balanced:
        """Adds up losses; keeps the Jacobians apart."""
        terms: Any = None
        totals = []
        at: Any = None
        before = model_state
        for part in self._split(batch, key):
            at = linearize(self._terms, params, next_part(before, model_state), *part, has_aux=True)
            counts, model_state = at.aux
            terms = added(terms, (at.losses, counts))
            totals.append(at.jacobian(params))
        losses, present, scale = means(self._sum(terms))
        samples = [scaled(self._sum(total), at.owners, self._parts * scale) for total in totals]
        mean = jax.tree.map(lambda *parts: sum(parts) / self._parts, *samples)
        seen = gramian(mean, params, len(losses))
        known = {"losses": losses, "present": present, "owners": at.owners, "samples": samples}
        direction, balance = self._balancer.direct(mean, balance, params, **known)
        owners = Owners.of(at.owners, params)
        return Balanced(self._own(direction), losses, present, seen, balance, model_state, owners)
