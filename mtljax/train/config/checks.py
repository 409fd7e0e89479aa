"""Whether the parts of a run fit each other, and what is to be said of its data before it trains."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import jax
import numpy as np
import optax

from mtljax.balance.per_group import check_covered, places_of
from mtljax.data import pipeline
from mtljax.data.check import sampled
from mtljax.data.pipeline import inputs_of
from mtljax.errors import UserError, told
from mtljax.models.readout import Readout
from mtljax.train.config import data_checks
from mtljax.train.config.best_by import best_by
from mtljax.train.config.default import balance_told
from mtljax.train.config.own_balancers import check_balancer
from mtljax.train.config.parts import Experiment
from mtljax.train.config.task_checks import check_labels_there, check_on_host, check_shapes, notes_on_numbers
from mtljax.train.spread import hosts
from mtljax.train.step.told import told_of

_AUGMENTED = 8  # times that the first example is augmented: what is drawn seldom may fail alone


class Fitted(NamedTuple):
    """What is known of parts that fit each other.

    Attributes:
        sample: this host's part of the first validation batch, of NumPy arrays.
        shapes: of the model's variables.
        predictions: task -> the shapes of its prediction for that batch.
        optimizer: over all parameters.
    """

    sample: Mapping[str, Any]
    shapes: Any
    predictions: Mapping[str, Any]
    optimizer: optax.GradientTransformationExtraArgs


def fit(parts: Experiment) -> Fitted:
    """Checks parts against each other, on one batch of the validation split; nothing is computed but shapes.

    Raises:
        UserError: where labels, images, model, tasks, augmentation or optimisers do not fit each other.
    """
    if "fitted" not in parts.programs:
        parts.programs["fitted"] = _fit(parts)
    return parts.programs["fitted"]


def _fit(parts: Experiment) -> Fitted:
    best_by(parts.config.keep_best, parts.tasks)
    sample = next(iter(parts.eval_batches()))
    for task in parts.tasks.values():
        if not set(task.labels) <= set(sample):
            check_labels_there(task, parts.validation[0], f"data {parts.config.data!r}")
    if "image" in sample and not parts.config.input:
        data_checks.check_layout(sample["image"][0], "a validation image")
    _check_readout(parts)
    shapes = parts.shapes(inputs_of(sample))
    optimizer = parts.optimizer(shapes["params"])
    _check_groups(parts, shapes["params"])
    fitted = Fitted(sample, shapes, _predictions(parts, shapes, sample), optimizer)
    if parts.augmentation is not None:
        _check_augmented(parts, fitted)
    return fitted


def _check_readout(parts: Experiment) -> None:
    """Whether a readout's levels are those of the features that it reads; of wrong ones many are as large, packed."""
    if not (isinstance(parts.model, Readout) and hasattr(parts.data, "readout")):
        return
    levels, size = cast(Any, parts.data).readout()
    if (given := tuple(map(tuple, parts.model.levels))) != levels:
        raise UserError(
            f"model {parts.config.model!r} reads levels {given}, but those of {parts.data.name} have shapes {levels}; "
            f"expected Readout(levels={levels}, size={size})."
        )


def _check_groups(parts: Experiment, params: Any) -> None:
    """Whether all that tasks share is in one of the groups of parameters that are balanced apart, if there are any."""
    if not parts.balancer.groups:
        return
    shared = [group not in parts.tasks for group in jax.tree.leaves(parts.model.groups(params))]
    try:
        check_covered(places_of(parts.balancer.groups, params), shared, params)
    except ValueError as error:
        key = "balance_groups" if parts.config.balance_groups else "balance"
        raise UserError(f"config.{key} of model {parts.config.model!r}: {error}") from error


def notes(parts: Experiment, fitted: Fitted) -> list[str]:
    """Tries before training what would fail, or mislead, at its end; see `task_checks` and `data_checks`.

    Returns:
        Notes on what may be meant, and more often is not.

    Raises:
        UserError: for what is surely wrong with the data, or with a task on it.
    """
    pipeline.check_batch_size(parts.config.batch_size, len(parts.training))
    check_balancer(parts.config.balance, parts.balancer)
    draws = parts.config.panel_images > 0 and hosts.first()
    check_on_host(parts.tasks, fitted.predictions, fitted.sample, draws=draws)
    if parts.balancer.needs:
        len(parts.held_out)  # tells where it is too small
    indices, examples = sampled(parts.training, parts.config.loader_threads)
    found = [
        *notes_on_numbers(parts.tasks, fitted.predictions, fitted.sample),
        *_idle_balancer(parts, fitted),
        *_no_pairs(parts, fitted),
        *data_checks.look_at_inputs(indices, examples),
    ]
    prepare = pipeline.Prepare(pipeline.to_augment(parts.labels))
    pairs = zip(indices, examples, strict=True)
    examples = [parts.augmented(prepare.chosen(example), int(i)) for i, example in pairs]
    where = f"the training split of data {parts.config.data!r}"
    found += data_checks.look_at_labels(parts.tasks, indices, examples, where)
    return [*found, *data_checks.ask_tasks(parts.tasks, fitted.sample, "the first validation examples")]


def _predictions(parts: Experiment, variables: Any, sample: Any) -> Mapping[str, Any]:
    """The shapes of the predictions for a batch, when its labels fit them."""

    def predict(variables: Any, batch: Any) -> Any:
        return parts.model.apply(variables, inputs_of(batch), **told_of(batch, parts.model))

    predictions = jax.eval_shape(predict, variables, dict(sample))
    check_shapes(parts.tasks, predictions, sample)
    return predictions


def _check_augmented(parts: Experiment, fitted: Fitted) -> None:
    """Whether the model fits the size of augmented images, which need not be that of the validation's."""
    config, first = parts.config, _first_augmented(parts)
    one = pipeline.stack([first], keep=parts.labels, label=config.input)
    sample = jax.tree.map(lambda x: jax.ShapeDtypeStruct((config.batch_size, *x.shape[1:]), x.dtype), one)
    found, before = (jax.tree.map(lambda x: x.shape[1:], inputs_of(batch)) for batch in (sample, dict(fitted.sample)))
    if found == before:
        return
    if parts.shapes(inputs_of(sample)) != fitted.shapes:
        raise UserError(
            f"augment={config.augment!r} makes images of shape {found}; those of validation have shape "
            f"{before}, and the parameters of model {config.model!r} depend on it. Expected an "
            "augmentation that keeps it."
        )
    _predictions(parts, fitted.shapes, sample)


def _first_augmented(parts: Experiment) -> Any:
    first = parts.training[0]
    try:
        augmented = [parts.augmented(first, i) for i in range(_AUGMENTED)]
    except Exception as error:  # of whatever kind: it may be the user's own
        given = "" if "image" in first else "; the data has `inputs`, no images"
        if np.ndim(first.get("image", 0)) == 1:
            given = "; the data has vectors, no images"
        raise UserError(f"augment={parts.config.augment!r}: {told(error).removesuffix('.')}{given}.") from error
    return augmented[0]


def _shares_nothing(parts: Experiment, fitted: Fitted) -> bool:
    return set(jax.tree.leaves(parts.model.groups(fitted.shapes["params"]))) <= set(parts.tasks)


def _no_pairs(parts: Experiment, fitted: Fitted) -> Iterator[str]:
    """What is asked of every two tasks, and no two of them have."""
    asked = {"cosines_every": "cosines with others", "affinity_every": "affinity to others"}
    for key, what in asked.items():
        every = parts.config[key]
        if every and len(parts.tasks) < 2:
            yield f"config.{key}={every}: one task alone has no {what}; none are written."
        elif every and _shares_nothing(parts, fitted):
            yield f"config.{key}={every}: none are written, since tasks share nothing in {parts.config.model!r}."


def _idle_balancer(parts: Experiment, fitted: Fitted) -> Iterator[str]:
    if parts.balancer.sees != "losses" and len(parts.tasks) > 1 and _shares_nothing(parts, fitted):
        yield (
            f"{balance_told(parts.config)} balances gradients of what tasks share, and in model "
            f"{parts.config.model!r} they share nothing: it changes nothing."
        )
