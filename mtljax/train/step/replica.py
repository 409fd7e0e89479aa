"""What one replica does for a balanced gradient, by what the balancer looks at."""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from mtljax.balance import BalanceState, Gramian, combine, gramian, linearize_at, private_from, scale_private
from mtljax.balance.finite import all_finite
from mtljax.data.pipeline import inputs_of
from mtljax.models import INITIAL, PENALTIES, PER_STEP
from mtljax.tasks import Task
from mtljax.train.step.last_layer import last_shared_layer
from mtljax.train.step.owners import Owners, through
from mtljax.train.step.shards import FSDP, Shards
from mtljax.train.step.told import told_of

Axis = str | tuple[str, ...]


class Rows(NamedTuple):
    """What one replica adds to the Jacobian of all shared parameters, and what came with it.

    Attributes:
        jacobian: a tree as `params`; the replicas' add up to that of the global batch.
        owners: a tree as `params` of tuples of indices.
        losses: (T,) the global batch's losses.
        present: (T,) bool.
        model_state: the model's next state.
    """

    jacobian: Any
    owners: Any
    losses: jax.Array
    present: jax.Array
    model_state: Any


class Balanced(NamedTuple):
    """A gradient and how it came about.

    Attributes:
        gradient: a tree as `params`.
        losses: (T,) the global batch's losses, 0 for an absent task.
        present: (T,) bool, whether a task has a label anywhere in the global batch.
        gramian: what a gradient method saw, or None.
        balance: the balancer's next state, with the weights it gave.
        model_state: the model's next state.
        owners: whose losses depend on each parameter.
        finite: bool, whether losses and gradient are, and the balancer found no bad row.
    """

    gradient: Any
    losses: jax.Array
    present: jax.Array
    gramian: Gramian | None
    balance: BalanceState
    model_state: Any
    owners: Owners
    finite: jax.Array | bool = True


def loss_terms(task: Task, name: str, predictions: Mapping[str, Any], batch: Any) -> tuple[jax.Array, jax.Array]:
    """A task's (total, count), with the loss of its initial predictions and its penalties, if its model sows any."""
    total, count = task.loss(predictions[name], batch)
    for initial in predictions.get(f"{name}:{INITIAL}", ()):
        total += task.loss(initial, batch)[0]
    for penalty in predictions.get(f"{name}:{PENALTIES}", ()):
        total += penalty * jax.lax.stop_gradient(count)  # so that parts of a batch add up to its mean
    return total, count


def next_part(before: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The model's state for the next part of a batch: what moves once a step is as it was before the first."""
    return {name: before[name] if name in PER_STEP else tree for name, tree in found.items()}


class Replica:
    """A replica's part of the work.

    Args:
        model: a Flax module as `MultiTask`.
        tasks: name -> task, in the order of the losses.
        balancer: over the tasks.
        axis_name: the mapped axis or axes over replicas, or None.
        shards: how parameters are split, or None.
        vectorised: whether rows of the Jacobian are computed under `vmap`.
    """

    def __init__(
        self,
        model: Any,
        tasks: Mapping[str, Task],
        balancer: Any,
        axis_name: Axis | None,
        shards: Shards | None,
        vectorised: bool = False,
    ) -> None:
        self._model, self._tasks, self._balancer = model, tasks, balancer
        self._axis, self._shards, self._vectorised = axis_name, shards, vectorised

    @property
    def _in_parts(self) -> bool:
        """Whether this device's parts of the Jacobian are enough for the balancer."""
        return self._shards is not None and self._balancer.weigh is not None

    def whole(self, params: Any) -> Any:
        """All of the parameters."""
        return params if self._shards is None else self._shards.gathered(params)

    def finite(self, tree: Any) -> jax.Array:
        """Whether all of a tree is, on every device."""
        finite = all_finite(tree)
        return finite if self._shards is None else jax.lax.pmin(finite.astype(jnp.int8), FSDP) > 0

    def from_losses(self, params: Any, model_state: Any, balance: BalanceState, batch: Any, key: Any) -> Balanced:
        """One backward pass, of the weighted sum of the losses."""
        at = linearize_at(self._losses, params, model_state, batch, key, has_aux=True)
        losses, (present, model_state) = self._sum(at.losses), at.aux
        weights, balance = self._balancer.weigh(balance, losses=losses, present=present)
        gradient = at.weighted(weights)
        owners = Owners.of(at.owners, params)
        return Balanced(self._total(gradient), losses, present, None, balance, model_state, owners)

    def from_shared(self, params: Any, model_state: Any, balance: BalanceState, batch: Any, key: Any) -> Balanced:
        """The Jacobian of all shared parameters."""
        return self._from_rows(self.rows(params, model_state, batch, key), balance, params)

    def rows(self, params: Any, model_state: Any, batch: Any, key: Any) -> Rows:
        """The Jacobian; for a balancer that its device's parts are enough for, these of what all replicas add."""
        at = linearize_at(self._losses, params, model_state, batch, key, has_aux=True)
        present, model_state = at.aux
        return Rows(self._rows(at, params), at.owners, self._sum(at.losses), present, model_state)

    def losses(self, params: Any, model_state: Any, batch: Any, key: Any) -> jax.Array:
        """The global batch's losses alone, (T,), as a training step has them."""
        return self._sum(jnp.stack(self._losses(params, model_state, batch, key)[0]))

    def _rows(self, at: Any, params: Any) -> Any:
        """This replica's Jacobian; or this device's parts of that of all replicas, where those are enough."""
        if not self._in_parts:
            return at.jacobian(vectorised=self._vectorised)
        # A row is added up and cut before the next is asked for, so that no device ever holds all of them.
        return at.jacobian(vectorised=self._vectorised, each=self._total)

    def _from_rows(self, rows: Rows, balance: Any, params: Any) -> Balanced:
        """A Jacobian -> what the balancer makes of it."""
        jacobian, owners, losses, present, model_state = rows
        who = Owners.of(owners, params)
        shards = self._shards if self._in_parts else None
        if shards is None:
            jacobian = self._sum(jacobian)
            seen = gramian(jacobian, params, len(losses))
            known = {"losses": losses, "present": present, "owners": owners}
            direction, balance = self._balancer.direct(jacobian, balance, params, **known)
            return Balanced(self._own(direction), losses, present, seen, balance, model_state, who)
        parts = jax.eval_shape(shards.own, params)
        seen = gramian(shards.once(jacobian), parts, len(losses), FSDP)
        weights, balance = self._balancer.weigh(balance, losses=losses, gramian=seen, present=present)
        direction = scale_private(combine(jacobian, weights.shared, parts), parts, owners, weights.private)
        return Balanced(direction, losses, present, seen, balance, model_state, who)

    def from_last_layer(self, params: Any, model_state: Any, balance: BalanceState, batch: Any, key: Any) -> Balanced:
        """The Jacobian of the last layer that tasks share decides on the weights."""
        at = linearize_at(self._losses, params, model_state, batch, key, has_aux=True)
        losses, (present, model_state) = self._sum(at.losses), at.aux
        jacobian = at.jacobian()
        last = last_shared_layer(self._model, params, model_state, inputs_of(batch))
        measured, shapes = _where(last, jacobian), _where(last, params)
        seen = gramian(self._sum(measured), shapes, len(losses))
        weights, balance = self._balancer.weigh(balance, losses=losses, gramian=seen, present=present)
        own = scale_private(jacobian, params, at.owners, weights.private)
        gradient = private_from(own, at.weighted(weights.shared), at.owners)
        owners = Owners.of(at.owners, params)
        return Balanced(self._total(gradient), losses, present, seen, balance, model_state, owners)

    def from_features(self, params: Any, model_state: Any, balance: BalanceState, batch: Any, key: Any) -> Balanced:
        """The tasks' gradients at the encoder's output, balanced and then pulled back once."""

        def encode(params: Any) -> Any:
            known = told_of(batch, self._model, "encode")
            return self._apply(params, model_state, key, inputs_of(batch), method="encode", **known)

        def losses_of(at: Mapping[str, Any], model_state: Any) -> tuple[Any, Any]:
            arguments = (at["features"], inputs_of(batch))
            known = told_of(batch, self._model, "decode")
            predictions, state = self._apply(at["params"], model_state, key, *arguments, method="decode", **known)
            losses, present = self._task_losses(predictions, batch)
            return losses, (present, state)

        features, tangent, model_state = jax.linearize(encode, params, has_aux=True)
        point = {"params": params, "features": features}
        at = linearize_at(losses_of, point, model_state, has_aux=True)
        losses, (present, model_state) = self._sum(at.losses), at.aux
        jacobian = at.jacobian()
        # Each replica holds the features of its own examples: a part of every row.
        axes = cast(str, self._axis)  # one axis or several, as of `jax.lax.psum`
        seen = gramian(jacobian["features"], features, len(losses), axes)
        if self._balancer.weigh is None:
            known = {"losses": losses, "present": present, "axis_name": self._axis, "features": True}
            direction, balance = self._balancer.direct(jacobian["features"], balance, features, **known)
            decoders = combine(jacobian["params"], present.astype(losses.dtype), params)
        else:
            weights, balance = self._balancer.weigh(balance, losses=losses, gramian=seen, present=present)
            direction = combine(jacobian["features"], weights.shared, features)
            decoders = combine(jacobian["params"], weights.shared, params)
            decoders = scale_private(decoders, params, at.owners["params"], weights.private)
        (encoders,) = jax.linear_transpose(tangent, params)(direction)
        gradient = self._total(jax.tree.map(jnp.add, encoders, decoders))
        owners = through(tangent, point, at.owners)
        return Balanced(gradient, losses, present, seen, balance, model_state, owners)

    def _losses(self, params: Any, model_state: Any, batch: Any, key: Any) -> tuple[Any, Any]:
        predictions, model_state = self._told(params, model_state, key, batch)
        losses, present = self._task_losses(predictions, batch)
        return losses, (present, model_state)

    def _told(self, params: Any, model_state: Any, key: Any, batch: Any) -> tuple[Any, Any]:
        """Predictions for a batch, and the model's next state."""
        return self._apply(params, model_state, key, inputs_of(batch), **told_of(batch, self._model))

    def _apply(self, params: Any, model_state: Any, key: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        variables = {"params": params, **model_state}
        rngs = {"dropout": key}
        mutable = [*model_state, INITIAL, PENALTIES]
        output, changed = self._model.apply(variables, *args, train=True, mutable=mutable, rngs=rngs, **kwargs)
        for name in (INITIAL, PENALTIES):
            for task, values in changed.pop(name, {}).items():
                output |= {f"{task}:{name}": values}
        return output, {**model_state, **changed}

    def _task_losses(self, predictions: Mapping[str, jax.Array], batch: Any) -> tuple[tuple[jax.Array, ...], jax.Array]:
        """This replica's part of every task's loss, and which tasks are present anywhere."""
        losses, present = [], []
        for name, task in self._tasks.items():
            total, count = loss_terms(task, name, predictions, batch)
            count = self._sum(jax.lax.stop_gradient(count))
            losses.append(total / jnp.where(count > 0, count, 1.0))
            present.append(count > 0)
        return tuple(losses), jnp.stack(present)

    def _sum(self, tree: Any) -> Any:
        return tree if self._axis is None else jax.lax.psum(tree, self._axis)

    def _total(self, gradient: Any) -> Any:
        """This device's part of the sum of all replicas' gradients."""
        return self._sum(gradient) if self._shards is None else self._shards.summed(gradient)

    def _own(self, gradient: Any) -> Any:
        return gradient if self._shards is None else self._shards.own(gradient)


def _where(chosen: Any, tree: Any) -> list[jax.Array]:
    leaves = zip(jax.tree.leaves(chosen), jax.tree.leaves(tree), strict=True)
    return [leaf for keep, leaf in leaves if keep]
