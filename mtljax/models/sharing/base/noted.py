"""What a model notes of its tasks in training, beside their predictions."""

from typing import Any

import flax.linen as nn

PENALTIES = "penalties"  # collection: task -> scalars that are added to its loss in training
INITIAL = "initial"  # collection: task -> earlier predictions, which its loss is computed on as well
PER_STEP = ("annealing",)  # collections that move once a step, in however many parts its batch is worked through


def note(model: nn.Module, collection: str, task: str, value: Any) -> None:
    """Adds to what a task has in a collection. Unlike `sow`, it lets a task be named as a part of the model."""
    if model.is_mutable_collection(collection) and not model.is_initializing():
        model.put_variable(collection, task, (*model.get_variable(collection, task, ()), value))
