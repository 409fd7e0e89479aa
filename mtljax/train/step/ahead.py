"""Steps whose balancer learns on a validation batch, which comes in the batch that is trained on."""

from typing import Any

import jax
import jax.numpy as jnp

from mtljax.balance import Ahead, BalanceState, linearize_at
from mtljax.data.pipeline import in_unit_range
from mtljax.train.step.replica import Balanced, Owners, Replica

STEP = "step"  # of a batch, (B,): the number of the step, for losses that change in training
HELD_OUT = "held_out"  # of a batch, the validation batch


class LookingAhead(Replica):
    """A replica that gives a balancer the losses of both batches as functions of the parameters.

    Both are losses of training: dropout draws, and statistics are those of each batch; the validation batch leaves none
    behind.

    Args:
        replica: that works on the batch that is trained on.
    """

    def __init__(self, replica: Replica) -> None:
        self.__dict__.update(vars(replica))

    def from_validation(self, params: Any, model_state: Any, balance: BalanceState, batch: Any, key: Any) -> Balanced:
        """Weighs the losses of one batch by what they do to those of the other."""
        held_out = {**in_unit_range(batch[HELD_OUT]), STEP: batch[STEP]}
        batch = {name: value for name, value in batch.items() if name != HELD_OUT}
        key, other = jax.random.split(key)
        at = linearize_at(self._losses, params, model_state, batch, key, has_aux=True)
        losses, (present, after) = self._sum(at.losses), at.aux

        def of(data: Any, noise: Any) -> Any:
            return lambda at: jnp.stack(self._losses(at, model_state, data, noise)[0])

        ahead = Ahead(params, of(batch, key), of(held_out, other), self._sum)
        weights, balance = self._balancer.weigh(balance, losses=losses, present=present, ahead=ahead)
        gradient = self._total(at.weighted(weights.shared))
        if weights.validation is not None:
            gradient = jax.tree.map(jnp.add, gradient, self._own(ahead.of_validation(weights.validation)))
        return Balanced(gradient, losses, present, None, balance, after, Owners.of(at.owners, params))
