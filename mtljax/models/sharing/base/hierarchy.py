"""The hierarchy of tasks: whose predictions a head takes, by which names, and what of them reaches it.

A task's parents are names of tasks, a sequence; or a map from the name by which the head knows a parent, its role, to
the task: `{"track": {"boxes": "detect"}}`. An edge of the hierarchy, `detect->track`, is

| word | what the head gets |
|---|---|
| `detached` | the parent's prediction, which gets no gradient from here |
| `attached` | the parent's prediction: the parent's head is moved by both tasks' losses |
| `none` | nothing; a head that names `edges` decides what it does without |
| `truth` | labels in the parent's place, in evaluation too: a bound, for study |

`attached` is the default, but for heads whose `default_edge` is another; roles in a head's `needs` are never `none`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mtljax.errors import UserError, unknown
from mtljax.models.pure import names

Parents = Mapping[str, Sequence[str] | Mapping[str, str]]
DETACHED, ATTACHED, NONE, TRUTH = WORDS = ("detached", "attached", "none", "truth")


def roles(parents: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """Role -> task of one task's parents; of a sequence, the tasks' own names are the roles.

    Example:
        >>> roles(("depth",)), roles({"boxes": "detect"})
        ({'depth': 'depth'}, {'boxes': 'detect'})
    """
    return dict(parents) if isinstance(parents, Mapping) else {parent: parent for parent in parents}


def edge_of(head: Any, parent: str, task: str, edges: Mapping[str, str] | None) -> str:
    """The word of an edge: the given one, or what the head has by default."""
    return (edges or {}).get(f"{parent}->{task}", getattr(head, "default_edge", ATTACHED))


def check_edges(edges: Mapping[str, str], parents: Parents, heads: Mapping[str, Any]) -> None:
    """Refuses edges that there are not, and words that an edge cannot have.

    Args:
        edges: `parent->task` -> word.
        parents: task -> its parents.
        heads: task -> head.

    Raises:
        UserError: where one is wrong.
    """
    known = {f"{parent}->{task}": (role, task) for task, role, parent in _all(parents)}
    for edge, word in edges.items():
        if edge not in known:
            raise unknown("edge", edge, known) if known else UserError(f"edge {edge!r}: no task has a parent.")
        if word not in WORDS:
            raise unknown(f"word for the edge {edge!r}:", word, WORDS)
        role, task = known[edge]
        head = heads.get(task)
        if word == NONE and role in getattr(head, "needs", ()):
            others = ", ".join(other for other in WORDS if other != NONE)
            raise UserError(f"edge {edge!r}: {task!r} cannot do without its parent; expected one of {others}.")
        if word == TRUTH and head is not None and not names(head, "labels"):
            raise UserError(
                f"edge {edge!r} is 'truth', but the head of {task!r}, {type(head).__name__}, takes no labels; expected "
                f"one of {', '.join(WORDS[:-1])}."
            )


def in_order(tasks: Sequence[str], parents: Parents, heads: Mapping[str, Any]) -> list[str]:
    """Tasks and those that they depend on, parents first.

    Raises:
        UserError: for a task without a head, or a cycle.
    """
    ordered: list[str] = []

    def visit(task: str, below: tuple[str, ...]) -> None:
        if task not in heads:
            raise UserError(f"no head for task {task!r}; the model has {', '.join(heads)}.")
        if task in below:
            raise UserError(f"tasks are each other's parents: {' -> '.join((*below[below.index(task) :], task))}.")
        for parent in roles(parents.get(task, ())).values():
            visit(parent, (*below, task))
        if task not in ordered:
            ordered.append(task)

    for task in tasks:
        visit(task, ())
    return ordered


def _all(parents: Parents) -> Iterator[tuple[str, str, str]]:
    """Task, role and parent of every edge."""
    return ((task, role, parent) for task, own in parents.items() for role, parent in roles(own).items())
