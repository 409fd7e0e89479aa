"""From one replica's batch to one balanced gradient, at the cost of what the balancer looks at.

| `measure` | what a balancer that sees gradients looks at | backward passes |
|---|---|---|
| `shared` | the Jacobian of all shared parameters | T through the encoder |
| `last_layer` | the Jacobian of the last layer that the tasks share | 1, plus T down to there |
| `features` | the tasks' gradients at the encoder's output | 1, plus T through the heads |

A balancer that sees losses only costs one backward pass, whatever `measure` says. One that looks at k independent
samples gets the Jacobians of k parts of the batch, for the price of one.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mtljax.balance import MEASURES, BalanceState, Gramian, combine, gramian, linearize, scale_private
from mtljax.errors import UserError, unknown
from mtljax.tasks import Task
from mtljax.train.last_layer import last_shared_layer


class Balanced(NamedTuple):
    """A gradient and how it came about.

    Attributes:
        gradient: a tree as `params`.
        losses: (T,) the global batch's losses, 0 for an absent task.
        present: (T,) bool, whether a task has a label anywhere in the global batch.
        gramian: what a gradient method saw, or None.
        balance: the balancer's next state, with the weights it gave.
        model_state: the model's next state.
    """

    gradient: Any
    losses: jax.Array
    present: jax.Array
    gramian: Gramian | None
    balance: BalanceState
    model_state: Any


def balanced_gradient(
    model: Any, tasks: Mapping[str, Task], balancer: Any, measure: str, axis_name: str | None = None
) -> Callable[..., Balanced]:
    """Makes `(params, model_state, balance, batch, key) -> Balanced` for one replica.

    Losses and gradients are added up over `axis_name` and divided by the global count of labels before the balancer
    sees them, so any number of replicas gives what one gives.

    Raises:
        UserError: for an unknown `measure`, or one that the balancer cannot work with.
    """
    if measure not in MEASURES:
        raise unknown("measure", measure, MEASURES)
    replica = _Replica(model, tasks, balancer, axis_name)
    if balancer.sees == "losses":
        return replica.from_losses
    if measure not in balancer.measures:
        raise UserError(f"this balancer works with measure={' or '.join(balancer.measures)}, not {measure!r}.")
    if balancer.samples > 1:
        return replica.from_samples
    return {
        "shared": replica.from_shared,
        "last_layer": replica.from_last_layer,
        "features": replica.from_features,
    }[measure]


class _Replica:
    def __init__(self, model: Any, tasks: Mapping[str, Task], balancer: Any, axis_name: str | None) -> None:
        self._model, self._tasks, self._balancer, self._axis = model, tasks, balancer, axis_name

    def from_losses(self, params: Any, model_state: Any, balance: BalanceState, batch: Any, key: Any) -> Balanced:
        at = linearize(self._losses, params, model_state, batch, key, has_aux=True)
        losses, (present, model_state) = self._sum(at.losses), at.aux
        weights, balance = self._balancer.weigh(balance, losses=losses, present=present)
        gradient = at.weighted(weights.shared)
        if weights.private is not weights.shared:
            gradient = _private_from(at.weighted(weights.private), gradient, at.owners)
        return Balanced(self._sum(gradient), losses, present, None, balance, model_state)

    def from_shared(self, params: Any, model_state: Any, balance: BalanceState, batch: Any, key: Any) -> Balanced:
        at = linearize(self._losses, params, model_state, batch, key, has_aux=True)
        losses, (present, model_state) = self._sum(at.losses), at.aux
        jacobian = self._sum(at.jacobian(params))
        seen = gramian(jacobian, params, len(losses))
        known = {"losses": losses, "present": present, "owners": at.owners}
        direction, balance = self._balancer.direct(jacobian, balance, params, **known)
        return Balanced(direction, losses, present, seen, balance, model_state)

    def from_samples(self, params: Any, model_state: Any, balance: BalanceState, batch: Any, key: Any) -> Balanced:
        number = self._balancer.samples
        losses, presents, jacobians = [], [], []
        for i in range(number):
            # Every k-th example: the same parts on any number of devices.
            part = jax.tree.map(lambda x, i=i: x[i::number], batch)
            at = linearize(self._losses, params, model_state, part, jax.random.fold_in(key, i), has_aux=True)
            present, model_state = at.aux
            losses.append(self._sum(at.losses))
            presents.append(present)
            jacobians.append(self._sum(at.jacobian(params)))
        mean = jax.tree.map(lambda *parts: sum(parts) / number, *jacobians)
        loss, present = sum(losses) / number, jnp.all(jnp.stack(presents), axis=0)
        seen = gramian(mean, params, len(loss))
        known = {"losses": loss, "present": present, "owners": at.owners, "samples": jacobians}
        direction, balance = self._balancer.direct(mean, balance, params, **known)
        return Balanced(direction, loss, present, seen, balance, model_state)

    def from_last_layer(self, params: Any, model_state: Any, balance: BalanceState, batch: Any, key: Any) -> Balanced:
        at = linearize(self._losses, params, model_state, batch, key, has_aux=True)
        losses, (present, model_state) = self._sum(at.losses), at.aux
        jacobian = at.jacobian(params)
        last = last_shared_layer(self._model, params, model_state, batch["image"])
        measured, shapes = _where(last, jacobian), _where(last, params)
        seen = gramian(self._sum(measured), shapes, len(losses))
        weights, balance = self._balancer.weigh(balance, losses=losses, gramian=seen, present=present)
        own = scale_private(jacobian, params, at.owners, weights.private)
        gradient = _private_from(own, at.weighted(weights.shared), at.owners)
        return Balanced(self._sum(gradient), losses, present, seen, balance, model_state)

    def from_features(self, params: Any, model_state: Any, balance: BalanceState, batch: Any, key: Any) -> Balanced:
        def encode(params: Any) -> Any:
            return self._apply(params, model_state, key, batch["image"], method="encode")

        def losses_of(at: Mapping[str, Any], model_state: Any) -> tuple[Any, Any]:
            arguments = (at["features"], batch["image"])
            predictions, state = self._apply(
                at["params"], model_state, key, *arguments, camera=batch.get("camera"), method="decode"
            )
            losses, present = self._task_losses(predictions, batch)
            return losses, (present, state)

        features, to_params, model_state = jax.vjp(encode, params, has_aux=True)
        point = {"params": params, "features": features}
        at = linearize(losses_of, point, model_state, has_aux=True)
        losses, (present, model_state) = self._sum(at.losses), at.aux
        jacobian = at.jacobian(point)
        # Each replica holds the features of its own examples: a part of every row.
        seen = gramian(jacobian["features"], features, len(losses), self._axis)
        if self._balancer.weigh is None:
            known = {"losses": losses, "present": present, "axis_name": self._axis}
            direction, balance = self._balancer.direct(jacobian["features"], balance, features, **known)
            decoders = combine(jacobian["params"], present.astype(losses.dtype), params)
        else:
            weights, balance = self._balancer.weigh(balance, losses=losses, gramian=seen, present=present)
            direction = combine(jacobian["features"], weights.shared, features)
            decoders = combine(jacobian["params"], weights.shared, params)
            decoders = scale_private(decoders, params, at.owners["params"], weights.private)
        gradient = self._sum(jax.tree.map(jnp.add, to_params(direction)[0], decoders))
        return Balanced(gradient, losses, present, seen, balance, model_state)

    def _losses(self, params: Any, model_state: Any, batch: Any, key: Any) -> tuple[Any, Any]:
        predictions, model_state = self._apply(params, model_state, key, batch["image"], camera=batch.get("camera"))
        losses, present = self._task_losses(predictions, batch)
        return losses, (present, model_state)

    def _apply(self, params: Any, model_state: Any, key: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        variables = {"params": params, **model_state}
        rngs = {"dropout": key}
        output, changed = self._model.apply(
            variables, *args, train=True, mutable=list(model_state), rngs=rngs, **kwargs
        )
        return output, {**model_state, **changed}

    def _task_losses(self, predictions: Mapping[str, jax.Array], batch: Any) -> tuple[tuple[jax.Array, ...], jax.Array]:
        """This replica's part of every task's loss, and which tasks are present anywhere."""
        losses, present = [], []
        for name, task in self._tasks.items():
            total, count = task.loss(predictions[name], batch)
            count = self._sum(jax.lax.stop_gradient(count))
            losses.append(total / jnp.where(count > 0, count, 1.0))
            present.append(count > 0)
        return tuple(losses), jnp.stack(present)

    def _sum(self, tree: Any) -> Any:
        return tree if self._axis is None else jax.lax.psum(tree, self._axis)


def _private_from(own: Any, shared: Any, owners: Any) -> Any:
    """The leaves of `own` that one task owns, and those of `shared` for the others."""
    leaves, structure = jax.tree.flatten(shared)
    trees = zip(structure.flatten_up_to(own), leaves, structure.flatten_up_to(owners), strict=True)
    return structure.unflatten([mine if len(owner) == 1 else ours for mine, ours, owner in trees])


def _where(chosen: Any, tree: Any) -> list[jax.Array]:
    leaves = zip(jax.tree.leaves(chosen), jax.tree.leaves(tree), strict=True)
    return [leaf for keep, leaf in leaves if keep]
