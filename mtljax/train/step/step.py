"""The training step and the evaluation step, written once, for one replica."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax

from mtljax.balance import Gramian, Holding, from_rule, hold_absent, reached_by
from mtljax.balance.branches import branches_pay, unless
from mtljax.balance.finite import still_finite
from mtljax.data.pipeline import in_unit_range, inputs_of
from mtljax.tasks import Task
from mtljax.train.step import streams
from mtljax.train.step.affinity import FIRST, first_order
from mtljax.train.step.frozen import frozen, kept_statistics
from mtljax.train.step.gradients import OverDevices, balanced_gradient, from_raw
from mtljax.train.step.replica import Balanced
from mtljax.train.step.state import TrainState
from mtljax.train.step.told import told_of

Variables = tuple[Any, Any]  # params, model_state


def make_train_step(
    model: Any,
    tasks: Mapping[str, Task],
    balancer: Any,
    optimizer: optax.GradientTransformation,
    *,
    measure: str = "shared",
    seed: int = 0,
    spread: OverDevices | None = None,
    accumulate: int = 1,
    vectorised: bool = False,
    streamed: bool | None = False,
    affinity: bool = False,
) -> Callable[..., tuple[TrainState, dict[str, jax.Array]]]:
    """Makes `(state, batch, seed=...) -> (state, report)`.

    An update is left out, and only the counters and the step go on, where losses or gradient are not finite, or what
    comes of it: parameters, batch statistics, or what the optimiser and the balancer remember. What no present task
    reaches (a head, a whole network) stays as it was, with its optimiser's state and its batch statistics; those of
    frozen groups (`set_to_zero()`) stay too. Losses find the number of the step in the batch, as `step`, (B,) int32.

    Args:
        model: a Flax module as `MultiTask`.
        tasks: name -> task, in the order of the losses.
        balancer: as `mtl.pcgrad(num_tasks)`.
        optimizer: over all parameters, as `partition` makes it.
        measure: what a balancer that sees gradients looks at; see `mtljax.train.step.gradients`.
        seed: of dropout and other noise; its stream depends on (seed, name, step, replica, part). A step that is given
            a third argument draws by that, `streams.seed_of(seed, streams.DROPOUT)`, which may be an array: so one
            compiled step serves all seeds.
        spread: what the step will be spread by (`spread.train(step)`); None for one replica.
        accumulate: k parts of a replica's batch that are worked through one after the other.
        vectorised: whether rows of the Jacobian are computed under `vmap`, rather than one after the other.
        streamed: whether the Jacobian is never held, None for where that pays, as of `balanced_gradient`.
        affinity: whether a balancer that sees the gradients of all shared parameters is to report `affinity_first`.

    Returns:
        The step. Its report: `losses`, `present`, `weights` (T,), `solved`, `finite` (of the whole update),
        `finite_gradient` (of losses and gradient alone), `skipped`, `skipped_in_row` and, for a balancer that sees
        gradients, `cosines` (T, T); `affinity_first` (T, T) as `mtljax.train.step.affinity` has it.
    """
    axis_name = None if spread is None else spread.axis
    gradient_of = balanced_gradient(
        model, tasks, balancer, measure, axis_name, accumulate=accumulate, vectorised=vectorised, streamed=streamed
    )

    replica = from_raw(gradient_of, axis_name)
    of_noise = streams.seed_of(seed, streams.DROPOUT)
    replicas = replica if spread is None else spread.gradient(replica)
    holding = optimizer if isinstance(optimizer, Holding) else hold_absent(optimizer)

    def train_step(state: TrainState, batch: Any, seed: Any = of_noise) -> tuple[TrainState, dict[str, jax.Array]]:
        found = replicas(state.params, state.model_state, state.balance, batch, state.step, seed)
        new = _moved(state, found, holding)
        finite = found.finite & still_finite(new, state)
        kept = _kept(finite, new, state)
        kept = kept.replace(
            step=state.step + 1,
            skipped=state.skipped + ~finite,
            skipped_in_row=jnp.where(finite, 0, state.skipped_in_row + 1),
        )
        report = _report(found, kept, finite)
        if affinity and found.gramian is not None and measure == "shared":
            report[FIRST] = first_order(found.gramian, found.losses, found.present, found.owners)
        return kept, report

    return train_step


def make_cosine_step(
    model: Any,
    tasks: Mapping[str, Task],
    spread: OverDevices | None = None,
    *,
    accumulate: int = 1,
    vectorised: bool = False,
    streamed: bool | None = False,
) -> Callable[[tuple[Any, Any, Any, Any], Any], tuple[dict[str, jax.Array], dict[str, Any]]]:
    """Makes `((params, model_state, step, seed of the noise), batch) -> ({"cosines": (T, T)}, {})`.

    They are the cosines between the tasks' gradients on all shared parameters that the training step on the batch
    would see: of the same noise, parts and masks. The row of a task that is absent, whose gradient is not finite, or
    which reaches nothing that is shared, is 0, on the diagonal too. It is spread as an evaluation step is, so that each
    device holds T whole gradients, unless they are `streamed`. Arguments are those of `make_train_step`.
    """
    number, axis_name = len(tasks), None if spread is None else spread.axis
    looking = from_rule(lambda seen, state: (jnp.ones(number), state), number, sees="gramian")
    gradient_of = balanced_gradient(
        model, tasks, looking, "shared", axis_name, accumulate=accumulate, vectorised=vectorised, streamed=streamed
    )
    replica = from_raw(gradient_of, axis_name)

    def cosine_step(variables: tuple[Any, Any, Any, Any], batch: Any) -> tuple[dict[str, jax.Array], dict[str, Any]]:
        params, model_state, step, seed = variables
        found = replica(params, model_state, looking.init(params), batch, step, seed)
        there = found.present[:, None] & found.present
        return {"cosines": jnp.where(there, cast(Gramian, found.gramian).cosines, 0.0)}, {}

    return cosine_step


def _moved(state: TrainState, found: Balanced, optimizer: Holding) -> TrainState:
    """The state after an update, with all that no present task reaches as it was: where none is present, all of it."""
    known = {"present": found.present, "owners": found.owners.tree(state.params)}
    updates, optimizer_state = optimizer.update(found.gradient, state.optimizer, state.params, **known)
    model_state = found.model_state
    if jax.tree.leaves(model_state):
        idle = frozen(optimizer, state.optimizer, state.params, **known)
        pairs = zip(idle, found.owners.leaves, strict=True)
        moves = [False if still else reached_by(owner, found.present) for still, owner in pairs]
        model_state = kept_statistics(model_state, state.model_state, state.params, moves)
    return state.replace(
        params=optax.apply_updates(state.params, updates),
        model_state=model_state,
        balance=_where(jnp.any(found.present), found.balance, state.balance),
        optimizer=optimizer_state,
    )


def _kept(finite: jax.Array, new: TrainState, old: TrainState) -> TrainState:
    """The new state where it is finite, the old one elsewhere."""
    # On the CPU a choice between arrays is a function to compile for each of them.
    return unless(finite, new, lambda: old) if branches_pay() else _where(finite, new, old)


def _where(flag: jax.Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(flag, a, b), new, old)


def make_eval_step(
    model: Any, tasks: Mapping[str, Task], spread: OverDevices | None = None
) -> Callable[[Variables, Any], tuple[dict[str, Any], dict[str, Any]]]:
    """Makes `((params, model_state), batch) -> (added up, predictions)`.

    What is added up over replicas, and may be added over batches: task -> `total`, `count` of the loss, and `sums`
    of the metrics. Predictions are those of tasks with metrics that the host works out, decoded, and stay with their
    replica.
    """

    def eval_step(variables: Variables, batch: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        batch = in_unit_range(batch)
        predictions = _predictions(model, variables, batch)
        decoded = {name: task.decoded(predictions[name], batch) for name, task in tasks.items()}
        added = {name: measured(task, predictions[name], batch, decoded[name]) for name, task in tasks.items()}
        read = {name: decoded[name] for name, task in tasks.items() if task.read_on_host}
        return (added if spread is None else jax.lax.psum(added, spread.axis)), read

    return eval_step


def make_predict_step(
    model: Any, tasks: Mapping[str, Task], names: Collection[str]
) -> Callable[[Variables, Any], tuple[dict[str, Any], dict[str, Any]]]:
    """Makes `((params, model_state), batch) -> ({}, decoded predictions)` of some tasks, spread as an evaluation is."""

    def predict_step(variables: Variables, batch: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        batch = in_unit_range(batch)
        predictions = _predictions(model, variables, batch)
        return {}, {name: tasks[name].decoded(predictions[name], batch) for name in names}

    return predict_step


def _predictions(model: Any, variables: Variables, batch: Any) -> dict[str, Any]:
    params, model_state = variables
    return model.apply({"params": params, **model_state}, inputs_of(batch), **told_of(batch, model))


def measured(task: Task, prediction: Any, batch: Any, decoded: Any = None) -> dict[str, Any]:
    """What adds over batches and replicas: `total` and `count` of the loss, `sums` of the metrics."""
    total, count = task.loss(prediction, batch)
    decoded = task.decoded(prediction, batch) if decoded is None else decoded
    return {"total": total, "count": count, "sums": task.sums(decoded, batch)}


def _report(found: Balanced, state: TrainState, finite: jax.Array) -> dict[str, jax.Array]:
    report = {
        "losses": found.losses,
        "present": found.present,
        "weights": found.balance.weights,
        "solved": found.balance.solved,
        "finite": finite,
        "finite_gradient": found.finite,
        "skipped": state.skipped,
        "skipped_in_row": state.skipped_in_row,
    }
    return report if found.gramian is None else report | {"cosines": found.gramian.cosines}
