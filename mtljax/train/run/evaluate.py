"""Evaluation: metrics over a whole split, of a model and of the best constant predictor."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import jax
import numpy as np

from mtljax.data.pipeline import in_unit_range, size_of
from mtljax.tasks import Task
from mtljax.tasks.task import PLACE, Baseline
from mtljax.train.config.checks import Fitted
from mtljax.train.config.parts import Experiment
from mtljax.train.run.rows import Tables, places
from mtljax.train.spread import hosts
from mtljax.train.spread.parallel import Spread
from mtljax.train.step.state import TrainState
from mtljax.train.step.step import make_eval_step, measured


class Accumulator:
    """Adds up what evaluation steps and host metrics give, and turns it into figures at the end."""

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        self._tasks = tasks
        self._added: dict[str, Any] | None = None
        self._on_host: dict[str, Any] = {}
        self._tables = {name: Tables(task) for name, task in tasks.items() if task.host_rows is not None}

    def add(
        self,
        added: Mapping[str, Any],
        predictions: Mapping[str, np.ndarray],
        batch: Any,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        """Adds a batch: its sums over devices, and the predictions of tasks that have host metrics.

        Args:
            added: by an evaluation step.
            predictions: task -> NumPy array, or a tree of them, decoded.
            batch: of NumPy arrays; with each example's `place` in the split, where a task gives rows.
            between: called before host metrics of each task, or of each example where they take a while.
        """
        self._added = _plus(self._added, added)
        for name, tables in self._tables.items():
            between()
            tables.add(predictions[name], batch)
        for name, task in self._tasks.items():
            if task.host_sums is None:
                continue
            whole: tuple[Any, Any] = (predictions[name], batch)
            size = max(map(len, jax.tree.leaves(whole)))  # of them all
            for i in range(0, size, 1 if task.one_by_one else size):
                between()
                part: tuple[Any, Any] = jax.tree.map(lambda x, i=i: x[i : i + 1], whole) if task.one_by_one else whole
                self._on_host[name] = _plus(self._on_host.get(name), task.host_sums(*part))

    def figures(
        self,
        over_hosts: Callable[[Any], Any] = lambda tree: tree,
        joined: Callable[[Any], Any] = lambda tree: tree,
    ) -> dict[str, float]:
        """`<task>/loss` and `<task>/<metric>`; NaN where nothing was labelled.

        Args:
            over_hosts: adds up what each host has found of its own examples.
            joined: puts the rows that each host has found one behind the other.
        """
        added, on_host = self._added or {}, over_hosts(self._on_host)
        figures: dict[str, float] = {}
        for name, task in self._tasks.items():
            found = added[name]
            from_rows = self._tables[name].figures(joined) if name in self._tables else {}
            figures[f"{name}/loss"] = float(found["total"] / found["count"]) if found["count"] > 0 else math.nan
            for metric in (*task.metrics, *task.told):
                with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 is NaN where nothing was labelled
                    sums = {**found["sums"], **on_host.get(name, {}), **from_rows}
                    figures[f"{name}/{metric.name}"] = float(metric.value(sums))
        return figures


def _plus(before: Any, found: Any) -> Any:
    found = jax.tree.map(lambda x: np.asarray(x, np.float64), found)
    return found if before is None else jax.tree.map(np.add, before, found)


def evaluator(parts: Experiment) -> Callable[..., dict[str, float]]:
    """Makes `(state, between=..., instead=...) -> figures of the validation split`; its step is compiled once.

    What `between` raises, which is called as `evaluate` has it, ends an evaluation. `instead` is as `evaluate` has it.
    """
    step = parts.program(
        "evaluate", lambda: parts.spread.evaluate(make_eval_step(parts.model, parts.tasks, parts.spread))
    )

    def figures(state: TrainState, between: Callable[[], None] = lambda: None, **options: Any) -> dict[str, float]:
        variables = (state.params, state.model_state)
        return evaluate(step, variables, parts.eval_batches(raw=True), parts.tasks, parts.spread, between, **options)

    return figures


def figures_to_beat(
    parts: Experiment, fitted: Fitted, evaluate: Callable[..., dict[str, float]], state: TrainState
) -> dict[str, float]:
    """The figures of the trivial predictors on the validation split: constants, and tasks' own baselines.

    Args:
        parts: of the run.
        fitted: what is known of them.
        evaluate: as `evaluator` made it.
        state: of the model whose detections baselines read.
    """
    labels = _labels_of_training(parts)
    made = {name: task.baseline(labels) for name, task in parts.tasks.items() if task.baseline is not None}
    found = figures_of_constant(parts, fitted, labels)
    return found | evaluate(state, instead=made) if made else found


def _labels_of_training(parts: Experiment) -> Any:
    number = min(parts.config.baseline_examples, len(parts.training))
    return parts.batch_of(parts.training, np.linspace(0, len(parts.training) - 1, number).astype(int))


def figures_of_constant(parts: Experiment, fitted: Fitted, labels: Any = None) -> dict[str, float]:
    """The figures of the best constant predictor on the validation split; made from a batch of training labels."""
    labels = _labels_of_training(parts) if labels is None else labels
    shapes = {
        name: (parts.config.batch_size, *prediction.shape[1:])
        for name, prediction in fitted.predictions.items()
        if parts.tasks[name].constant is not None
    }
    measure = parts.program("constant", lambda: jax.jit(functools.partial(_measured, _with_constant(parts.tasks))))
    return evaluate_constant(labels, parts.eval_batches((0, 1)), parts.tasks, shapes, measure)


def evaluate(
    step: Callable,
    variables: Any,
    batches: Iterable[Any],
    tasks: Mapping[str, Task],
    spread: Spread,
    between: Callable[[], None] = lambda: None,
    instead: Mapping[str, Baseline] | None = None,
) -> dict[str, float]:
    """The figures of a model over all batches.

    Args:
        step: an evaluation step as `spread.evaluate` gave it.
        variables: (params, model_state), placed.
        batches: of NumPy arrays.
        tasks: name -> task.
        spread: how the step is spread.
        between: called before each batch and before host metrics, as `Accumulator.add` has it: what it raises ends the
            evaluation.
        instead: task -> what predicts in its place, from what the model has found: the figures are those of these tasks
            alone, without losses and sums over devices.
    """
    judged = tasks if instead is None else {name: _on_host_alone(tasks[name]) for name in instead}
    found = Accumulator(judged)
    for number, batch in enumerate(batches):
        between()
        added, predictions = step(variables, spread.place_batch(batch))
        on_host = {name: spread.collect(predictions[name]) for name, task in tasks.items() if task.read_on_host}
        if on_host:
            batch = {**in_unit_range(batch), PLACE: places(number, size_of(batch), hosts.shard())}
        if instead is not None:
            on_host = {name: baseline(on_host, batch) for name, baseline in instead.items()}
            added = {name: {"total": 0.0, "count": 0.0, "sums": {}} for name in instead}
        found.add(added, on_host, batch, between)
    figures = found.figures(hosts.total, hosts.joined)
    losses = {f"{name}/loss" for name in instead or ()}  # a baseline has none
    return {key: value for key, value in figures.items() if key not in losses}


def _on_host_alone(task: Task) -> Task:
    """A task whose sums are worked out on the host, of a prediction that is there."""

    def host_sums(prediction: Any, batch: Any) -> dict[str, np.ndarray]:
        own = task.host_sums(prediction, batch) if task.host_sums is not None else {}
        return {**jax.tree.map(np.asarray, dict(task.sums(prediction, batch))), **own}

    return dataclasses.replace(task, host_sums=host_sums)


def evaluate_constant(
    train_labels: Any,
    batches: Iterable[Any],
    tasks: Mapping[str, Task],
    shapes: Mapping[str, tuple[int, ...]],
    measure: Callable[..., Any] | None = None,
) -> dict[str, float]:
    """The figures of the best constant predictor, of the tasks that have one: what every model must beat.

    Args:
        train_labels: a batch of training examples, from which the constants are made.
        batches: to evaluate on.
        tasks: name -> task.
        shapes: name -> shape of a prediction for a batch.
        measure: `(predictions, batch) -> what adds up` of those tasks, where it is compiled already.
    """
    tasks = _with_constant(tasks)
    if not tasks:
        return {}
    measure = measure or jax.jit(functools.partial(_measured, tasks))
    constants = {}
    for name, task in tasks.items():
        constant = np.asarray(cast(Callable[..., Any], task.constant)(train_labels), np.float32)
        # A prediction may have more channels than are judged.
        constants[name] = np.broadcast_to(constant, (*shapes[name][: -constant.ndim], *constant.shape))

    found = Accumulator(tasks)
    for batch in batches:
        found.add(measure(constants, batch), constants, batch)
    return found.figures()


def _with_constant(tasks: Mapping[str, Task]) -> dict[str, Task]:
    return {name: task for name, task in tasks.items() if task.constant is not None}


def _measured(tasks: Mapping[str, Task], predictions: Mapping[str, jax.Array], batch: Any) -> dict[str, Any]:
    return {name: measured(task, predictions[name], batch) for name, task in tasks.items()}


def table(tasks: Mapping[str, Task], model: Mapping[str, float], constant: Mapping[str, float]) -> str:
    """The metrics of every task beside those of the constant predictor, as text."""
    rows = [("task", "metric", "model", "constant", "")]
    for name, task in tasks.items():
        for metric in task.metrics:
            key = f"{name}/{metric.name}"
            ours, theirs = model[key], constant.get(key, math.nan)
            better = ours > theirs if metric.higher_is_better else ours < theirs
            arrow = "up" if metric.higher_is_better else "down"
            verdict = "" if math.isnan(theirs) else "better" if better else "NOT better"  # NaN is not better
            rows.append((name, f"{metric.name} ({arrow})", f"{ours:.4f}", f"{theirs:.4f}", verdict))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = []
    for task, metric, *numbers, verdict in rows:
        left = f"{task:<{widths[0]}}  {metric:<{widths[1]}}"
        right = "  ".join(f"{number:>{width}}" for number, width in zip(numbers, widths[2:4], strict=True))
        lines.append(f"{left}  {right}  {verdict}".rstrip())
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)
