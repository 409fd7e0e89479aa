"""What is tried before a run trains: every task's loss, metrics, constant and picture on the shapes of one batch."""

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from mtljax.data.pipeline import size_of
from mtljax.errors import UserError, is_users, nearest, place_of, told
from mtljax.models.heads.frozen import FROZEN
from mtljax.tasks import Task
from mtljax.tasks.task import PLACE

_TRIED = 2  # examples with which what runs on the host is tried


def check_shapes(tasks: Mapping[str, Task], predictions: Mapping[str, Any], sample: Any) -> None:
    """Tries losses and sums on shapes alone: nothing is computed.

    Args:
        tasks: name -> task.
        predictions: task -> its prediction for the batch, as `jax.ShapeDtypeStruct`s.
        sample: a batch, of arrays or shapes.

    Raises:
        UserError: where a prediction and its labels do not fit each other, or a loss is no pair of scalars.
    """
    for name, prediction in predictions.items():
        task = tasks[name]
        with _told(task, prediction, sample, "shapes"):
            (task.fits or functools.partial(_check_axes, task))(prediction, sample)
        with _told(task, prediction, sample, "loss"):
            loss = jax.eval_shape(task.loss, prediction, dict(sample))
        shapes = [getattr(x, "shape", None) for x in loss] if isinstance(loss, tuple | list) else None
        if shapes != [(), ()]:
            shown = jax.tree.map(lambda x: x.shape, loss)
            raise UserError(f"task {name!r}: its loss has shapes {shown}; expected two scalars, (total, count).")
        with _told(task, prediction, sample, "sums of metrics"):
            jax.eval_shape(lambda p, b, task=task: task.sums(task.decoded(p, b), b), prediction, dict(sample))


def check_on_host(tasks: Mapping[str, Task], predictions: Mapping[str, Any], sample: Any, *, draws: bool) -> None:
    """Tries what is computed on the host at the end of a run, on two examples with made predictions.

    Args:
        tasks: name -> task.
        predictions: task -> its prediction for the batch, as `jax.ShapeDtypeStruct`s.
        sample: a batch of NumPy arrays.
        draws: whether a panel is drawn.

    Raises:
        UserError: where a task's host sums, metrics, constant or pictures fail, or have shapes that cannot be used.
    """
    for name, task in tasks.items():
        few, shapes = _few(sample), predictions[name]
        if task.decode is not None:
            shapes = jax.eval_shape(task.decode, shapes, dict(sample))
        made = _made_up(shapes, sample)
        with _told(task, predictions[name], sample, "metrics"):
            _check_metrics(task, made, few)
        if task.constant is not None and _labelled(task, few):
            with _told(task, predictions[name], sample, "constant"):
                _check_constant(task, task.constant, made, few)
        if draws and task.draw is not None:
            with _told(task, predictions[name], sample, "picture"):
                _check_pictures(task.draw, made, few)


def notes_on_numbers(tasks: Mapping[str, Task], predictions: Mapping[str, Any], sample: Any) -> Iterator[str]:
    """Runs losses, their gradients and sums that are not of this package: on two examples, with predictions of 0.5.

    Ours are known to work on numbers where they work on shapes, and compiling all of them would take a while.

    Args:
        tasks: name -> task.
        predictions: task -> its prediction for the batch, as `jax.ShapeDtypeStruct`s.
        sample: a batch of NumPy arrays.

    Yields:
        Notes on figures that are not finite, and on a loss that no prediction changes.

    Raises:
        UserError: for what fails when it runs, or a count below 0.
    """
    few = _few(sample)
    for name, task in tasks.items():
        if not any(map(_is_own, (task.loss, task.sums))):
            continue
        made = _made_up(predictions[name], sample)
        with _told(task, predictions[name], sample, "loss and sums, run on two examples"):
            (total, count), slopes, sums = jax.device_get(_on_numbers(task, made, few))
        if count < 0:
            raise UserError(
                f"task {name!r}: its loss has a count of {count:g}; expected at least 0, in (total, count)."
            )
        wrong = [what for what, number in (("total", total), ("count", count)) if not np.isfinite(number)]
        wrong += [f"sum {key!r}" for key, value in sums.items() if not np.isfinite(value).all()]
        if wrong:
            listed = ", ".join(wrong)
            yield f"task {name!r}: not finite for two validation examples and a prediction of 0.5 everywhere: {listed}."
        elif count > 0 and slopes and not any(map(np.any, slopes)):
            yield (
                f"task {name!r}: its loss has the gradient 0 for two validation examples and a prediction of 0.5 "
                "everywhere. Has it one at all? What counts or rounds, as argmax does, has none."
            )


def check_labels_there(task: Task, found: Mapping[str, Any], where: str) -> None:
    """Raises `UserError` where an example, or a batch, lacks a label that a task reads, or its mask."""
    there = sorted(key for key in found if f"{key}_valid" in found)
    for label in task.labels:
        if label not in found:
            near = nearest(label, there)
            raise UserError(
                f"task {task.name!r} reads the label {label!r}, which {where} does not have"
                f"{f'; did you mean {near!r}?' if near else ''} (it has {', '.join(there) or 'none'})."
            )


def _check_axes(task: Task, prediction: Any, sample: Any) -> None:
    for label in task.labels:
        found = sample[label].shape if hasattr(sample[label], "shape") else ()
        if len(found) > 4 and hasattr(prediction, "shape") and found[:-1] != prediction.shape[:-1]:
            raise UserError(
                f"task {task.name!r} predicts shape {prediction.shape}, but its label {label!r} has shape {found}: "
                "head and label must agree in all axes but the last."
            )


def _check_metrics(task: Task, prediction: Any, batch: Any) -> None:
    shapes = jax.eval_shape(task.sums, prediction, dict(batch))
    sums = {key: np.zeros(x.shape) for key, x in shapes.items()}
    if task.host_sums is not None:
        sums |= task.host_sums(prediction, batch)
    if task.host_rows is not None and task.figures is not None:
        rows = task.host_rows(prediction, {**batch, PLACE: np.arange(size_of(batch))})
        sums |= dict(task.figures({name: dict(columns) for name, columns in rows.items()}))
    for metric in (*task.metrics, *getattr(task, "told", ())):
        float(metric.value(sums))


def _check_constant(task: Task, make: Callable[[Any], Any], prediction: Any, batch: Any) -> None:
    constant = np.asarray(make(batch), np.float32)
    places = prediction.shape[-constant.ndim : -1]  # of a constant that depends on them
    if constant.ndim == 0 or constant.shape[:-1] != places or constant.shape[-1] > prediction.shape[-1]:
        raise ValueError(
            f"the best constant has shape {constant.shape}, but the prediction {prediction.shape[-1]} channels; is the "
            "head too narrow?"
        )
    predicted = jax.ShapeDtypeStruct((*prediction.shape[: -constant.ndim], *constant.shape), np.float32)
    jax.eval_shape(task.loss, predicted, dict(batch))


def _check_pictures(draw: Callable[[Any, Any], Any], prediction: Any, batch: Any) -> None:
    for picture in draw(prediction, batch):
        if np.ndim(picture) != 5 or np.shape(picture)[-1] != 3:
            raise ValueError(f"draw gives shape {np.shape(picture)}; expected (B, s, H, W, 3)")


def _labelled(task: Task, batch: Any) -> bool:
    return all(np.any(batch.get(f"{label}_valid", True)) for label in task.labels)


def _on_numbers(task: Task, prediction: Any, batch: Any) -> Any:
    """Its loss, the gradients with respect to each array of floats in the prediction, and its sums."""
    leaves, tree = jax.tree.flatten(prediction)
    floats = [i for i, leaf in enumerate(leaves) if jax.numpy.issubdtype(leaf.dtype, jax.numpy.floating)]

    def run(leaves: Any, batch: Any) -> Any:
        def total(chosen: Any) -> Any:
            whole = [chosen[floats.index(i)] if i in floats else leaf for i, leaf in enumerate(leaves)]
            loss = task.loss(jax.tree.unflatten(tree, whole), batch)
            return loss[0], tuple(loss)

        slopes, loss = jax.grad(total, has_aux=True)([leaves[i] for i in floats])
        return loss, slopes, task.sums(jax.tree.unflatten(tree, leaves), batch)

    return jax.jit(run, compiler_options={"xla_backend_optimization_level": 0})(leaves, dict(batch))


def _is_own(function: Any) -> bool:
    """Whether a function, or what a `partial` or a method is of, was written by the user."""
    function = getattr(function, "func", function)
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return code is not None and is_users(code.co_filename)


def _few(sample: Any) -> dict[str, Any]:
    return {key: jax.tree.map(lambda x: np.asarray(x)[:_TRIED], value) for key, value in sample.items()}


def _made_up(prediction: Any, sample: Any) -> Any:
    size = size_of(sample)
    return jax.tree_util.tree_map_with_path(lambda at, x: _made(at, x, size), prediction)


def _made(at: Any, like: jax.ShapeDtypeStruct, size: int) -> np.ndarray:
    """A prediction of one number everywhere, for the few examples that are tried; of a frozen network, all of it."""
    of_examples = like.shape[:1] == (size,) and at[:1] != (jax.tree_util.DictKey(FROZEN),)
    shape = (min(_TRIED, size), *like.shape[1:]) if of_examples else like.shape
    return np.full(shape, 0.5, like.dtype)


@contextlib.contextmanager
def _told(task: Task, prediction: Any, sample: Any, what: str) -> Iterator[None]:
    """Names the task, and the shapes that met, where its functions fail."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # of made numbers
            yield
    except Exception as error:
        if isinstance(error, UserError) and repr(task.name) in str(error):
            raise
        if isinstance(error, UserError) and isinstance(prediction, Mapping):  # whose shapes are long, and say little
            raise UserError(f"task {task.name!r}: {told(error, where=False)}") from error
        unmasked = error.args[0].removesuffix("_valid") if isinstance(error, KeyError) and error.args else ""
        if unmasked in task.labels and unmasked in sample:
            raise UserError(
                f"task {task.name!r}: the data gives the label {unmasked!r} without its mask, {error.args[0]!r}; "
                "expected an array of bool, True where there is a label."
            ) from error
        own = prediction
        if isinstance(prediction, Mapping):
            own = {key: value for key, value in prediction.items() if key != FROZEN}
        shapes = jax.tree.map(lambda x: x.shape, own)
        labels = ", ".join(
            f"{label} {np.shape(sample[label])}" for label in task.labels if not isinstance(sample.get(label), dict)
        )
        place = place_of(error)
        raise UserError(
            f"task {task.name!r}, prediction of shape {shapes}: {told(error, where=False)} (its {what}; labels: "
            f"{labels}{f'; {place}' if place else ''})"
        ) from error
