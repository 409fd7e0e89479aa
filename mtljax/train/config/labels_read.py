"""Which labels the tasks of a run read."""

from collections.abc import Mapping

from mtljax.tasks import Task


def labels_of(tasks: Mapping[str, Task]) -> tuple[str, ...]:
    """The labels that any task reads."""
    read = (label for task in tasks.values() for label in (*task.labels, *task.optional_labels))
    return tuple(dict.fromkeys(read))
