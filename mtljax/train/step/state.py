"""The state of a training run, and how its parameters fall into optimiser groups."""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from mtljax.balance import Holding, hold_absent
from mtljax.errors import UserError, unknown
from mtljax.models import INITIAL, PENALTIES
from mtljax.train.step.frozen import frozen


class TrainState(flax.struct.PyTreeNode):
    """Everything that a step reads and writes.

    Attributes:
        step: int32, steps taken, skipped ones included.
        params: the model's parameters.
        model_state: its other collections, such as `batch_stats`.
        balance: the balancer's state.
        optimizer: the state of the optax partition.
        skipped: int32, updates left out because of a non-finite loss or gradient.
        skipped_in_row: int32, how many of them just now, one after the other.
    """

    step: jax.Array
    params: Any
    model_state: Any
    balance: Any
    optimizer: Any
    skipped: jax.Array
    skipped_in_row: jax.Array


def create(variables: Mapping[str, Any], balancer: Any, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step, from what `model.init` gave."""
    unbalanced = without_balance(variables, optimizer)
    return unbalanced.replace(balance=balancer.init(unbalanced.params))


def without_balance(variables: Mapping[str, Any], optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step, but for the balancer's, which is None."""
    params = variables["params"]
    return TrainState(
        step=jnp.int32(0),
        params=params,
        model_state={name: tree for name, tree in variables.items() if name not in ("params", INITIAL, PENALTIES)},
        balance=None,
        optimizer=optimizer.init(params),
        skipped=jnp.int32(0),
        skipped_in_row=jnp.int32(0),
    )


def partition(transforms: Mapping[str, optax.GradientTransformation], labels: Any, clip_norm: float = 0.0) -> Holding:
    """An optimiser for every group of parameters: `optax.partition`, with every group and label accounted for.

    A group that no present task reaches is held (`mtl.balance.hold_absent`): its `update` takes `present=`, (T,) bool,
    and `owners=`, a tree as the parameters of tuples of task indices.

    Args:
        transforms: group -> optax transformation.
        labels: a tree as the parameters, of group names (`MultiTask.groups(params)`).
        clip_norm: where above 0, the largest norm of the gradient of all groups together, frozen ones left out, before
            any optimiser sees it; `clip_by_global_norm` in a group sees that group alone.

    Raises:
        UserError: for parameters whose group has no optimiser, or an optimiser whose group has no parameter.

    Example:
        >>> import optax
        >>> tx = partition({"shared": optax.sgd(0.1), "depth": optax.adam(1.0)}, {"a": "shared", "b": "depth"})
        >>> state = tx.init({"a": 1.0, "b": 1.0})
        >>> partition({"shared": optax.sgd(0.1)}, {"a": "shared", "b": "depth"})
        Traceback (most recent call last):
        mtljax.errors.UserError: no optimiser for group 'depth' (parameters ['b']); add optimizers.depth...
    """
    paths = jax.tree_util.tree_leaves_with_path(labels)
    groups = {label for _, label in paths}
    for path, label in paths:
        if label not in transforms:
            raise UserError(
                f"no optimiser for group {label!r} (parameters {jax.tree_util.keystr(path)}); "
                f"add optimizers.{label} (there are {', '.join(transforms)})."
            )
    for label in transforms:
        if label not in groups:
            raise unknown("optimiser group (it has no parameters):", label, groups)
    held = optax.partition({group: hold_absent(transform) for group, transform in transforms.items()}, labels)

    def update(updates: Any, state: Any, params: Any = None, **known: Any) -> tuple[Any, Any]:
        if clip_norm > 0:
            updates = _clipped(updates, frozen(held, state, params, **known), clip_norm)
        return held.update(updates, state, params, **known)

    return Holding(held.init, update)


def _clipped(gradient: Any, idle: list[bool], norm: float) -> Any:
    """A gradient whose norm, over leaves that are not idle, is at most that given; idle leaves are 0."""
    leaves, structure = jax.tree.flatten(gradient)
    moving = [jnp.zeros_like(g) if still else g for g, still in zip(leaves, idle, strict=True)]
    # Squares of what is scaled to order 1 neither overflow nor vanish.
    largest = jnp.max(jnp.stack([jnp.max(jnp.abs(g), initial=0.0).astype(jnp.float32) for g in moving]))
    largest = jnp.where(largest > 0, largest, 1.0)
    relative = optax.tree.norm([g.astype(jnp.float32) / largest for g in moving])
    factor = jnp.where(relative * largest <= norm, 1.0, norm / largest / relative)
    return structure.unflatten([(factor * g).astype(g.dtype) for g in moving])
