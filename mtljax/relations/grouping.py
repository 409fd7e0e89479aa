"""Which tasks to train together, from what each does to each other one (TAG, Fifty et al. 2021, section 3.2)."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from mtljax.errors import UserError, unknown
from mtljax.relations import checks
from mtljax.relations.cover import choose

Group = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Grouping:
    """Groups that were chosen; they may overlap.

    Attributes:
        groups: the smallest first, each in the order of the tasks.
        serves: task -> the group where it has its best score.
        scores: of each task in that group.
    """

    groups: tuple[Group, ...]
    serves: Mapping[str, Group]
    scores: Mapping[str, float]

    @property
    def score(self) -> float:
        """Mean over the tasks."""
        return float(np.mean(list(self.scores.values())))


def group(affinity: ArrayLike, tasks: Sequence[str], most: int) -> Grouping:
    """The groups, of two tasks or more, in which tasks have the highest mean of their best scores, exactly.

    A task's score in a group is the mean affinity of the group's others to it. Of what is as good, it is the fewest
    groups, then the smallest, in the order of the tasks.

    Args:
        affinity: (T, T) [source][target], such as by how much a step on the source's loss lowers the target's; the
            diagonal is not looked at. (TAG's authors print theirs [target][source].)
        tasks: names of its rows and columns, 2 to 16.
        most: how many groups there may be.

    Raises:
        UserError: for one task, a matrix that does not fit the names, an affinity that is not finite (which pair), or
            `most` below 1.

    Example:
        >>> affinity = [[0, 3, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1], [0, 4, 1, 0]]
        >>> chosen = group(affinity, ["a", "b", "c", "d"], most=2)
        >>> chosen.groups, chosen.score
        ((('a', 'b'), ('c', 'd')), 1.75)
        >>> group(affinity, ["a", "b", "c", "d"], most=3).groups
        (('a', 'b'), ('b', 'd'), ('c', 'd'))
    """
    tasks = checks.names(tasks)
    checks.few(tasks)
    affinity = checks.square("affinity", affinity, tasks)
    if isinstance(most, bool) or not isinstance(most, int | np.integer) or most < 1:
        raise UserError(f"there may be {most!r} groups; expected a whole number, 1 or more.")
    sets = [c for size in range(2, len(tasks) + 1) for c in itertools.combinations(range(len(tasks)), size)]
    losses = np.full((len(sets), len(tasks)), np.inf)
    for i, members in enumerate(sets):
        losses[i, members] = -affinity[np.ix_(members, members)].sum(axis=0) / (len(members) - 1)
    places = choose(losses, np.ones(len(sets)), float(most))
    if places is None:
        raise RuntimeError("the group of all tasks was not found.")
    best = losses[places].argmin(axis=0)
    groups = [tuple(tasks[t] for t in sets[place]) for place in places]
    return Grouping(
        groups=tuple(groups),
        serves={task: groups[i] for task, i in zip(tasks, best, strict=True)},
        scores={task: float(-losses[places[i], t]) for t, (task, i) in enumerate(zip(tasks, best, strict=True))},
    )


def group_scores(affinity: ArrayLike, tasks: Sequence[str], members: Sequence[str]) -> dict[str, float]:
    """Score of each task in one group: the mean affinity of the group's others to it.

    Args:
        affinity: (T, T) [source][target], as of `group`.
        tasks: names of its rows and columns.
        members: of the group, two or more.

    Raises:
        UserError: as `group`, and for a member that is no task.

    Example:
        >>> group_scores([[0, 3, 1], [2, 0, 0], [4, 5, 0]], ["a", "b", "c"], ["a", "b", "c"])
        {'a': 3.0, 'b': 4.0, 'c': 0.5}
    """
    tasks = checks.names(tasks)
    affinity = checks.square("affinity", affinity, tasks)
    members = checks.names(members)
    for member in members:
        if member not in tasks:
            raise unknown("task", member, tasks)
    places = [tasks.index(member) for member in members]
    inside = affinity[np.ix_(places, places)].sum(axis=0) / (len(places) - 1)
    return dict(zip(members, map(float, inside), strict=True))
