"""From one replica's batch to one balanced gradient, at the cost of what the balancer looks at.

| `measure` | what a balancer that sees gradients looks at | backward passes |
|---|---|---|
| `shared` | the Jacobian of all shared parameters | T through the encoder |
| `last_layer` | the Jacobian of the last layer that the tasks share | 1, plus T down to there |
| `features` | the tasks' gradients at the encoder's output | 1, plus T through the heads |

A balancer that sees losses only costs one backward pass, whatever `measure` says.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mtljax.balance import BalanceState, Gramian, combine, gramian, linearize
from mtljax.errors import unknown
from mtljax.tasks import Task
from mtljax.train.last_layer import last_shared_layer

MEASURES = ("shared", "last_layer", "features")


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
        UserError: for an unknown `measure`.
    """
    if measure not in MEASURES:
        raise unknown("measure", measure, MEASURES)
    replica = _Replica(model, tasks, balancer, axis_name)
    if balancer.sees == "losses":
        return replica.from_losses
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
        return Balanced(self._sum(at.weighted(weights)), losses, present, None, balance, model_state)

    def from_shared(self, params: Any, model_state: Any, balance: BalanceState, batch: Any, key: Any) -> Balanced:
        at = linearize(self._losses, params, model_state, batch, key, has_aux=True)
        losses, (present, model_state) = self._sum(at.losses), at.aux
        jacobian = self._sum(at.jacobian(params))
        seen = gramian(jacobian, params, len(losses))
        weights, balance = self._balancer.weigh(balance, losses=losses, gramian=seen, present=present)
        return Balanced(combine(jacobian, weights, params), losses, present, seen, balance, model_state)

    def from_last_layer(self, params: Any, model_state: Any, balance: BalanceState, batch: Any, key: Any) -> Balanced:
        at = linearize(self._losses, params, model_state, batch, key, has_aux=True)
        losses, (present, model_state) = self._sum(at.losses), at.aux
        jacobian = at.jacobian(params)
        last = last_shared_layer(self._model, params, model_state, batch["image"])
        measured, shapes = _where(last, jacobian), _where(last, params)
        seen = gramian(self._sum(measured), shapes, len(losses))
        weights, balance = self._balancer.weigh(balance, losses=losses, gramian=seen, present=present)
        own_or_weighted = jax.tree.map(
            lambda param, row, weighted: row if row.shape == param.shape else weighted,
            params,
            jacobian,
            at.weighted(weights),
        )
        return Balanced(self._sum(own_or_weighted), losses, present, seen, balance, model_state)

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
        weights, balance = self._balancer.weigh(balance, losses=losses, gramian=seen, present=present)
        direction = combine(jacobian, weights, point)
        through_encoder = to_params(direction["features"])[0]
        gradient = self._sum(jax.tree.map(jnp.add, through_encoder, direction["params"]))
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


def _where(chosen: Any, tree: Any) -> list[jax.Array]:
    leaves = zip(jax.tree.leaves(chosen), jax.tree.leaves(tree), strict=True)
    return [leaf for keep, leaf in leaves if keep]
