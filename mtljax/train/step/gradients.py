"""From one replica's batch to one balanced gradient, at the cost of what the balancer looks at.

| `measure` | what a balancer that sees gradients looks at | backward passes |
|---|---|---|
| `shared` | the Jacobian of all shared parameters | T through the encoder |
| `last_layer` | the Jacobian of the last layer that the tasks share | 1, plus T down to there |
| `features` | the tasks' gradients at the encoder's output | 1, plus T through the heads |

A balancer that sees losses only costs one backward pass, whatever `measure` says. One that looks at k independent
samples gets the Jacobians of k parts of the batch, for the price of one. One that needs a validation batch is given the
losses of both as functions, and pays for the derivatives that it takes.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from mtljax.balance import MEASURES, BalanceState, check_vectorised, is_private, reached_leaves, where_reached
from mtljax.data.pipeline import in_unit_range, size_of
from mtljax.errors import UserError, unknown
from mtljax.models.heads.frozen import FROZEN
from mtljax.tasks import Task
from mtljax.train.step import streams
from mtljax.train.step.accumulation import Accumulating
from mtljax.train.step.ahead import STEP, LookingAhead
from mtljax.train.step.replica import Axis, Balanced, Replica
from mtljax.train.step.samples import Sampling
from mtljax.train.step.shards import Shards
from mtljax.train.step.streaming import Streaming, check_streams, pays


class OverDevices(Protocol):
    """What a step knows of the way it is spread over devices, which is a `mtljax.train.Spread`."""

    @property
    def axis(self) -> Axis:
        """The mapped axis or axes over replicas."""
        ...

    @property
    def gradient(self) -> Callable[[Callable[..., Balanced]], Callable[..., Balanced]]:
        """Wraps the part of a training step that each replica takes on its own part of the batch."""
        ...


def balanced_gradient(
    model: Any,
    tasks: Mapping[str, Task],
    balancer: Any,
    measure: str,
    axis_name: Axis | None = None,
    *,
    accumulate: int = 1,
    vectorised: bool = False,
    streamed: bool | None = False,
) -> Callable[..., Balanced]:
    """Makes `(params, model_state, balance, batch, key, shards=None) -> Balanced` for one replica.

    Losses and gradients are added up over `axis_name` and divided by the global count of labels before the balancer
    sees them, so any number of replicas gives what one gives. With `shards`, `params` and the gradient are this
    device's parts, and so is the Jacobian of a method that sees norms and angles.

    Args:
        model: a Flax module as `MultiTask`.
        tasks: name -> task, in the order of the losses.
        balancer: over the tasks.
        measure: what a balancer that sees gradients looks at.
        axis_name: the mapped axis or axes over replicas, or None.
        accumulate: k parts of a replica's batch that are worked through one after the other.
        vectorised: whether rows of the Jacobian are computed under `vmap`, rather than one after the other.
        streamed: whether the Jacobian is never held (`Streaming`), for one backward pass more; None for where it pays.

    Raises:
        UserError: for an unknown `measure`, or one that the balancer or `accumulate` cannot work with; for `streamed`
            with what needs a Jacobian.
        ValueError: for `vectorised` where the compiler in use gets its rows wrong.
    """
    if measure not in MEASURES:
        raise unknown("measure", measure, MEASURES)
    if balancer.sees != "losses" and measure not in balancer.measures:
        raise UserError(f"this balancer works with measure={' or '.join(balancer.measures)}, not {measure!r}.")
    if accumulate > 1 and (balancer.samples > 1 or (balancer.sees != "losses" and measure != "shared")):
        what = f"measure={measure!r}" if balancer.samples == 1 else "a balancer of independent samples"
        raise UserError(f"accumulate={accumulate} works with measure='shared', not with {what}.")
    if balancer.sees == "losses":
        streamed = False
    if streamed:
        check_streams(balancer, measure, accumulate)
    if vectorised and balancer.sees != "losses":
        check_vectorised()
    if accumulate > 1 and balancer.needs:
        raise UserError(f"accumulate={accumulate} works without a {balancer.needs}, which this balancer needs.")
    way = _way(balancer, measure)

    def gradient_of(
        params: Any, model_state: Any, balance: BalanceState, batch: Any, key: Any, shards: Shards | None = None
    ) -> Balanced:
        replica = Replica(model, tasks, balancer, axis_name, shards, vectorised)
        if accumulate > 1:
            replica = Accumulating(replica, accumulate)
        elif way == "samples":
            replica = Sampling(replica, balancer.samples)
        elif streamed or (streamed is None and pays(balancer, measure, accumulate, params)):
            replica = Streaming(replica)
        elif way == "validation":
            replica = LookingAhead(replica)
        found = getattr(replica, f"from_{way}")(replica.whole(params), model_state, balance, batch, key)
        found = found._replace(gradient=_of_present(found), model_state=_alike(found.model_state, axis_name))
        finite = replica.finite((found.losses, found.gradient)) & jnp.all(found.balance.present == found.present)
        return found._replace(finite=finite)

    return gradient_of


def _way(balancer: Any, measure: str) -> str:
    """By what a replica gets its gradient."""
    if balancer.needs:
        return "validation"
    if balancer.sees == "losses":
        return "losses"
    return "samples" if balancer.samples > 1 else measure


def _alike(model_state: Any, axis_name: Axis | None) -> Any:
    """The model's state, the same on every replica: the mean of statistics that a module keeps of its own part alone.

    Where modules average over replicas themselves, it is what they have.
    """
    if axis_name is None:
        return model_state

    def mean(leaf: Any) -> Any:
        return jax.lax.pmean(leaf, axis_name) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating) else leaf

    return {name: tree if name == FROZEN else jax.tree.map(mean, tree) for name, tree in model_state.items()}


def _of_present(found: Balanced) -> Any:
    """The gradient with zeros where no present task reaches: what an absent one gave there may be no number."""
    leaves, owners = jax.tree.leaves(found.gradient), found.owners.leaves
    # What is of all tasks stays: the balancer leaves absent ones out.
    of_all = [len(owner) == len(found.present) and not is_private(owner) for owner in owners]
    ndims = [None if kept else leaf.ndim for leaf, kept in zip(leaves, of_all, strict=True)]
    return where_reached(found.gradient, reached_leaves(ndims, owners, found.present))


def from_raw(function: Callable[..., Any], axis_name: Axis | None) -> Callable[..., Any]:
    """What a replica does with its part of a batch as it was read, at a step, with a seed of the noise.

    Args:
        function: `(params, model_state, known, batch, key, shards) -> anything`, as `balanced_gradient` makes it.
        axis_name: the mapped axis or axes over replicas, or None.

    Returns:
        `(params, model_state, known, batch, step, noise, shards=None) -> anything`.
    """

    def replica(
        params: Any, model_state: Any, known: Any, batch: Any, step: Any, noise: Any, shards: Shards | None = None
    ) -> Any:
        key = streams.key_at(noise, step)
        if axis_name is not None:
            key = jax.random.fold_in(key, jax.lax.axis_index(axis_name))
        # The step is for losses that change in training.
        batch = {**in_unit_range(batch), STEP: jnp.full(size_of(batch), step)}
        return function(params, model_state, known, batch, key, shards)

    return replica
