"""How tasks vary together, by the weights of their heads' last layers in the network of all tasks."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtljax import relations
from mtljax.errors import UserError
from mtljax.relations import TaskCovariance
from mtljax.studies.relate import plan
from mtljax.studies.relate.plan import Set, Study
from mtljax.train.run.checkpoint import folder_of, none_there, restore_variables

_NAMES = ("predict", "output", "last")  # of last layers, where a head has several kernels


Covariances = tuple[Set, Sequence[TaskCovariance]]


def of_study(study: Study) -> Covariances | None:
    """The tasks whose last layers have the shape that most have, and how they vary together in the run of each seed.

    Of several hosts all must ask: a checkpoint is read by all of them.

    Returns:
        None where the study does not ask for it.

    Raises:
        UserError: where no two tasks have last layers of one shape, or a head's is not known.
    """
    if "covariance" not in study.measures:
        return None
    pairs = [of_layers(_layers(study, seed)) for seed in study.seeds]
    return pairs[0][0], [found for _, found in pairs]


def _layers(study: Study, seed: int) -> dict[str, np.ndarray]:
    folder = study.workdir / plan.network(study, study.tasks, seed).folder
    found = restore_variables(folder_of(folder))
    if found is None:
        raise none_there(folder)
    params = found[1]["params"]
    return {task: last_kernel(params[f"heads_{task}"], task) for task in study.tasks}


def of_layers(layers: Mapping[str, np.ndarray]) -> tuple[Set, TaskCovariance]:
    """The tasks of the shape that most layers have, the first of those that are equal, and how they vary together.

    Args:
        layers: task -> weights of its last layer.

    Raises:
        UserError: where no two have one shape.

    Example:
        >>> layers = {"a": np.array([1.0, 2.0]), "b": np.array([-1.0, -2.0]), "c": np.ones(3)}
        >>> tasks, found = of_layers(layers)
        >>> tasks, float(found.correlation[0, 1].round(2))
        (('a', 'b'), -1.0)
    """
    shapes = [layer.shape for layer in layers.values()]
    most = max(shapes, key=shapes.count)
    tasks = tuple(task for task, layer in layers.items() if layer.shape == most)
    if len(tasks) < 2:
        told = ", ".join(f"{task} {layer.shape}" for task, layer in layers.items())
        raise UserError(f"covariance() wants last layers of one shape; those of the heads have {told}.")
    columns = np.stack([layers[task].ravel().astype(np.float64) for task in tasks], axis=1)
    return tasks, relations.task_covariance(columns)


def last_kernel(head: Any, task: str) -> np.ndarray:
    """The weights of a head's last layer: its only kernel, or that of a layer `predict`, `output` or `last`.

    Raises:
        UserError: where it is not known.
    """
    found = dict(_kernels(head, ()))
    named = [kernel for path, kernel in found.items() if path and path[-1] in _NAMES]
    if len(found) == 1 or len(named) == 1:
        return (named or list(found.values()))[0]
    layers = ", ".join("/".join(path) or "itself" for path in found) or "none"
    raise UserError(f"covariance(): which is the last layer of the head of {task!r} is not known; kernels: {layers}.")


def _kernels(tree: Any, path: Sequence[str]) -> list[tuple[tuple[str, ...], np.ndarray]]:
    if not isinstance(tree, Mapping):
        return []
    own = (
        [(tuple(path), np.asarray(tree["kernel"]))]
        if math.prod(np.shape(tree.get("kernel", ()))) and "kernel" in tree
        else []
    )
    return [*own, *(pair for name, inner in tree.items() for pair in _kernels(inner, (*path, name)))]
