"""The training step and the evaluation step, written once, for one replica."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from mtljax.tasks import Task
from mtljax.train.gradients import balanced_gradient
from mtljax.train.parallel import Spread
from mtljax.train.replica import Balanced
from mtljax.train.shards import Shards
from mtljax.train.state import TrainState

STEP = "step"


def make_train_step(
    model: Any,
    tasks: Mapping[str, Task],
    balancer: Any,
    optimizer: optax.GradientTransformation,
    *,
    measure: str = "shared",
    seed: int = 0,
    spread: Spread | None = None,
    accumulate: int = 1,
    vectorised: bool = False,
) -> Callable[[TrainState, Any], tuple[TrainState, dict[str, jax.Array]]]:
    """Makes `(state, batch) -> (state, report)`.

    An update whose losses or gradient are not finite is left out: only the counters and the step go on.

    Args:
        model: a Flax module as `MultiTask`.
        tasks: name -> task, in the order of the losses.
        balancer: as `mtl.pcgrad(num_tasks)`.
        optimizer: over all parameters, as `partition` makes it.
        measure: what a balancer that sees gradients looks at; see `mtljax.train.gradients`.
        seed: of dropout and other noise; its stream depends on (seed, step, replica).
        spread: what the step will be spread by (`spread.train(step)`); None for one replica.
        accumulate: k parts of a replica's batch that are worked through one after the other.
        vectorised: whether rows of the Jacobian are computed under `vmap`, rather than one after the other.

    Returns:
        The step. Its report: `losses`, `present`, `weights` (T,), `finite`, `skipped`, `skipped_in_row` and, for a
        balancer that sees gradients, `cosines` (T, T).
    """
    axis_name = None if spread is None else spread.axis
    gradient_of = balanced_gradient(
        model, tasks, balancer, measure, axis_name, accumulate=accumulate, vectorised=vectorised
    )

    def replica(
        params: Any, model_state: Any, balance: Any, batch: Any, step: jax.Array, shards: Shards | None = None
    ) -> Balanced:
        key = jax.random.fold_in(jax.random.key(seed), step)
        if axis_name is not None:
            key = jax.random.fold_in(key, jax.lax.axis_index(axis_name))
        batch = {**batch, STEP: jnp.full(len(batch["image"]), step)}  # for losses that change in training
        return gradient_of(params, model_state, balance, batch, key, shards)

    replicas = replica if spread is None else spread.gradient(replica)

    def train_step(state: TrainState, batch: Any) -> tuple[TrainState, dict[str, jax.Array]]:
        found = replicas(state.params, state.model_state, state.balance, batch, state.step)
        finite = found.finite
        updates, optimizer_state = optimizer.update(found.gradient, state.optimizer, state.params)
        new = state.replace(
            params=optax.apply_updates(state.params, updates),
            model_state=found.model_state,
            balance=found.balance,
            optimizer=optimizer_state,
        )
        kept = jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, state)
        kept = kept.replace(
            step=state.step + 1,
            skipped=state.skipped + ~finite,
            skipped_in_row=jnp.where(finite, 0, state.skipped_in_row + 1),
        )
        return kept, _report(found, kept)

    return train_step


def make_eval_step(
    model: Any, tasks: Mapping[str, Task], spread: Spread | None = None
) -> Callable[[tuple[Any, Any], Any], tuple[dict[str, Any], dict[str, jax.Array]]]:
    """Makes `((params, model_state), batch) -> (added up, predictions)`.

    What is added up over replicas, and may be added over batches: task -> `total`, `count` of the loss, and `sums`
    of the metrics. Predictions stay with their replica.
    """

    def eval_step(variables: tuple[Any, Any], batch: Any) -> tuple[dict[str, Any], dict[str, jax.Array]]:
        params, model_state = variables
        predictions = model.apply({"params": params, **model_state}, batch["image"], camera=batch.get("camera"))
        added = {name: measured(task, predictions[name], batch) for name, task in tasks.items()}
        return (added if spread is None else jax.lax.psum(added, spread.axis)), predictions

    return eval_step


def measured(task: Task, prediction: jax.Array, batch: Any) -> dict[str, Any]:
    """What adds over batches and replicas: `total` and `count` of the loss, `sums` of the metrics."""
    total, count = task.loss(prediction, batch)
    return {"total": total, "count": count, "sums": task.sums(prediction, batch)}


def _report(found: Balanced, state: TrainState) -> dict[str, jax.Array]:
    report = {
        "losses": found.losses,
        "present": found.present,
        "weights": found.balance.weights,
        "finite": found.finite,
        "skipped": state.skipped,
        "skipped_in_row": state.skipped_in_row,
    }
    return report if found.gramian is None else report | {"cosines": found.gramian.cosines}
