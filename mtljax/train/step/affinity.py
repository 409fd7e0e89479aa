"""What a plain gradient step on one task's loss does to every task's loss, on one batch (TAG, Fifty et al. 2021)."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtljax.balance import Gramian, gramian, is_private
from mtljax.tasks import Task
from mtljax.train.step.accumulation import Accumulating, after
from mtljax.train.step.gradients import OverDevices, from_raw
from mtljax.train.step.owners import Owners
from mtljax.train.step.replica import Axis, Replica
from mtljax.train.step.shards import Shards

EXACT, FIRST = "affinity", "affinity_first"  # the figures' names, and the reports'


def make_affinity_step(
    model: Any,
    tasks: Mapping[str, Task],
    spread: OverDevices | None = None,
    *,
    accumulate: int = 1,
    exact: bool = True,
    first: bool = True,
) -> Callable[[tuple[Any, Any, Any, Any, Any], Any], tuple[dict[str, jax.Array], dict[str, Any]]]:
    """Makes `((params, model_state, step, seed of the noise, h), batch) -> (affinities, {})`.

    Of a source i and a target j, `affinity` is `(1 - L_j(s - h g_i, p_j) / L_j(s, p_j)) / h`: s are the parameters that
    tasks share (those whose Jacobian a method on `measure='shared'` sees), g_i the gradient of task i's loss in them,
    p_j task j's own, which stay. `affinity_first` is its limit for small h, `<g_i, g_j> / L_j`. Losses and gradients
    are those that the training step on the batch would have: in training mode, of the same noise, parts and masks.

    Rows of the Jacobian and steps are worked through one after the other: T backward passes, and T forward ones for
    `exact`. It is spread as an evaluation step is, so that each device holds T whole gradients.

    Args:
        model: a Flax module as `MultiTask`.
        tasks: name -> task, in the order of the losses.
        spread: what the step will be spread by (`spread.evaluate(step)`); None for one replica.
        accumulate: k parts of a replica's batch that are worked through one after the other.
        exact: whether to give `affinity`.
        first: whether to give `affinity_first`.

    Returns:
        The step. What it gives are matrices (T, T) [source][target] and `losses`, `present`, (T,). A pair without an
        affinity is NaN: see `known`.
    """
    axis_name = None if spread is None else spread.axis

    def look(params: Any, model_state: Any, h: Any, batch: Any, key: Any, shards: Shards | None) -> dict[str, Any]:
        replica = Replica(model, tasks, None, axis_name, shards)
        replica = Accumulating(replica, accumulate) if accumulate > 1 else replica
        found = replica.rows(params, model_state, batch, key)
        rows = _shared(found.jacobian, found.owners, params, axis_name)
        owners = Owners.of(found.owners, params)
        told = {"losses": found.losses, "present": found.present}
        if first:
            seen = gramian(rows, {name: row[0] for name, row in rows.items()}, len(tasks))
            told[FIRST] = first_order(seen, found.losses, found.present, owners)
        if exact:
            stepped: list[jax.Array] = []
            for t in range(len(tasks)):
                at = after(_moved(params, rows, t, h), stepped or None)  # one forward pass at a time
                stepped.append(replica.losses(at, model_state, batch, key))
            affinity = (1 - jnp.stack(stepped) / found.losses) / h
            told[EXACT] = known(affinity, found.losses, found.present, owners)
        return told

    replica = from_raw(look, axis_name)

    def affinity_step(variables: Any, batch: Any) -> tuple[dict[str, jax.Array], dict[str, Any]]:
        params, model_state, step, seed, h = variables
        return replica(params, model_state, h, batch, step, seed), {}

    return affinity_step


def first_order(seen: Gramian, losses: jax.Array, present: jax.Array, owners: Owners) -> jax.Array:
    """The affinity to first order, `<g_i, g_j> / L_j`, of gradients on shared parameters.

    Args:
        seen: their norms and cosines.
        losses: (T,).
        present: (T,) bool.
        owners: of the parameters.

    Returns:
        (T, T) [source][target], NaN where `known` says so.
    """
    return known(seen.matrix() / losses, losses, present, owners)


def known(affinity: jax.Array, losses: jax.Array, present: jax.Array, owners: Owners) -> jax.Array:
    """Affinities with NaN for the pairs that have none.

    These are pairs with a task that is absent from the batch or reaches nothing that is shared, with a target whose
    loss is not above 0 (of which no share can be told), or of a number that is not finite.

    Args:
        affinity: (T, T) [source][target].
        losses: (T,).
        present: (T,) bool.
        owners: of the parameters.
    """
    shared = [owner for owner in owners.leaves if not is_private(owner)]
    reaching = np.array([any(t in owner for owner in shared) for t in range(len(losses))])
    there = present & reaching
    return jnp.where(there[:, None] & there & (losses > 0) & jnp.isfinite(affinity), affinity, jnp.nan)


def _shared(jacobian: Any, owners: Any, params: Any, axis_name: Axis | None) -> dict[int, jax.Array]:
    """The stacked leaves of a Jacobian, by their place among the parameters' leaves, added up over replicas."""
    leaves, structure = jax.tree.flatten(jacobian)
    pairs = zip(leaves, structure.flatten_up_to(owners), strict=True)
    rows = {i: leaf for i, (leaf, owner) in enumerate(pairs) if not is_private(owner)}
    return rows if axis_name is None else jax.lax.psum(rows, axis_name)


def _moved(params: Any, rows: Mapping[int, jax.Array], task: int, h: jax.Array) -> Any:
    """Parameters after a plain gradient step of length h on one task's loss, in what is shared."""
    leaves, structure = jax.tree.flatten(params)
    for i, row in rows.items():
        leaves[i] = (leaves[i] - h * row[task]).astype(leaves[i].dtype)
    return structure.unflatten(leaves)
