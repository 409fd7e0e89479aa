"""Which networks to train, of which tasks each, under a budget (Standley et al. 2020)."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from mtljax.errors import UserError, unknown
from mtljax.relations import checks
from mtljax.relations.cover import cheapest_cover, choose


@dataclasses.dataclass(frozen=True)
class Network:
    """A candidate: a network that was trained, or might be.

    Attributes:
        losses: of each of its tasks; lower is better.
        cost: such as its FLOPs over those of a network of full size.
    """

    losses: Mapping[str, float]
    cost: float = 1.0

    @property
    def tasks(self) -> frozenset[str]:
        """What it predicts."""
        return frozenset(self.losses)

    def __str__(self) -> str:
        return f"{' + '.join(self.losses)} ({self.cost:g})"


@dataclasses.dataclass(frozen=True)
class Choice:
    """Networks that were chosen.

    Attributes:
        places: of the chosen among the candidates, ascending.
        networks: the chosen.
        serves: task -> place of the network that it is taken from.
        losses: of each task by that network.
        cost: of the chosen in all.
    """

    places: tuple[int, ...]
    networks: tuple[Network, ...]
    serves: Mapping[str, int]
    losses: Mapping[str, float]
    cost: float

    @property
    def loss(self) -> float:
        """Sum over the tasks."""
        return float(sum(self.losses.values()))


def choose_networks(candidates: Sequence[Network], budget: float) -> Choice:
    """The candidates that together have the least sum of losses over all tasks for a budget, exactly.

    A task is taken from the chosen network that has the least loss on it. Of what is as good, it is the least cost,
    then the fewest networks, then the first in order. Choose on validation losses, and judge on those of a test split:
    `judge`. Losses of an early stop of training make it ESA; those that `higher_order` guesses make it HOA.

    Args:
        candidates: all tasks are those that some of them have.
        budget: the most that all chosen may cost.

    Raises:
        UserError: for a single task, a loss that is not finite, a cost below 0, or a budget below the cheapest cover.

    Example:
        >>> alone = [Network({"depth": 0.3}, cost=0.5), Network({"edges": 0.2}, cost=0.5)]
        >>> both = [Network({"depth": 0.2, "edges": 0.25})]
        >>> chosen = choose_networks(alone + both, budget=1.5)
        >>> chosen.places, chosen.serves, round(chosen.loss, 6), chosen.cost
        ((1, 2), {'depth': 2, 'edges': 1}, 0.4, 1.5)
    """
    budget = checks.amount("the budget", budget)
    tasks = _tasks(candidates)
    losses = np.array([[one.losses.get(task, np.inf) for task in tasks] for one in candidates], np.float64)
    costs = np.array([one.cost for one in candidates], np.float64)
    places = choose(losses, costs, budget)
    if places is None:
        cover = cheapest_cover(losses, costs)
        raise UserError(
            f"the budget {budget:g} is below the cheapest cover of all tasks, which costs {costs[cover].sum():g}: "
            f"{', '.join(str(candidates[place]) for place in cover)}."
        )
    best = losses[places].argmin(axis=0)
    return Choice(
        places=tuple(map(int, places)),
        networks=tuple(candidates[place] for place in places),
        serves={task: int(places[i]) for task, i in zip(tasks, best, strict=True)},
        losses={task: float(losses[places[i], t]) for t, (task, i) in enumerate(zip(tasks, best, strict=True))},
        cost=float(costs[places].sum()),
    )


def judge(chosen: Sequence[Network], measured: Sequence[Network]) -> dict[str, float]:
    """Losses of chosen networks on another split: of each task, the least among them.

    Args:
        chosen: such as `Choice.networks`.
        measured: the same networks with other losses; they are found by their tasks and cost, in whatever order.

    Raises:
        UserError: where one that was chosen is not among the measured, or two are alike.

    Example:
        >>> test = [Network({"edges": 0.2}), Network({"depth": 0.3, "edges": 0.3})]
        >>> judge([Network({"depth": 0.2, "edges": 0.1}), Network({"edges": 0.15})], test)
        {'depth': 0.3, 'edges': 0.2}
    """
    found: dict[str, float] = {}
    for one in chosen:
        same = [other for other in measured if (other.tasks, other.cost) == (one.tasks, one.cost)]
        if len(same) != 1:
            raise UserError(f"{len(same)} networks were measured that are {one}; expected one.")
        _check(same[0])
        for task, loss in same[0].losses.items():
            found[task] = min(loss, found.get(task, np.inf))
    return found


def higher_order(measured: Sequence[Network]) -> list[Network]:
    """Networks of one and two tasks as they were measured, then every larger set with the losses to expect of it (HOA).

    The loss of a task in a set of three or more is the mean of its losses in the set's pairs with it. What was measured
    of larger sets is not looked at.

    Args:
        measured: among them a network for every pair of tasks, all of one cost, which is that of larger sets too.

    Raises:
        UserError: for a pair that is not there or twice, pairs of several costs, a loss that is not finite.

    Example:
        >>> pairs = [Network({"a": 1.0, "b": 4.0}), Network({"a": 2.0, "c": 5.0}), Network({"b": 6.0, "c": 7.0})]
        >>> higher_order(pairs)[-1].losses
        {'a': 1.5, 'b': 5.0, 'c': 6.0}
    """
    tasks = _tasks(measured)
    checks.few(tasks)
    pairs, cost = _pairs(measured, tasks)
    larger = [
        Network(
            {task: float(np.mean([pairs[task, other] for other in group if other != task])) for task in group}, cost
        )
        for size in range(3, len(tasks) + 1)
        for group in itertools.combinations(tasks, size)
    ]
    return [one for one in measured if len(one.losses) < 3] + larger


def pair_gain(measured: Sequence[Network], tasks: Sequence[str], *, over: str = "alone") -> np.ndarray:
    """By how much a task is better in a pair than alone: (alone - pair) / alone.

    Args:
        measured: among them every task alone, of which the cheapest counts, and every pair.
        tasks: the order of rows and columns.
        over: `alone`, or `pair`, by which Standley et al. divide in their settings 2 to 4.

    Returns:
        (T, T) [companion][task] float64, 0.1 for 10 %; the diagonal is NaN.

    Raises:
        UserError: for tasks or pairs that are not there, or a loss to divide by that is not above 0.

    Example:
        >>> alone = [Network({"depth": 0.5}, cost=0.5), Network({"edges": 0.2}, cost=0.5)]
        >>> print(pair_gain([*alone, Network({"depth": 0.4, "edges": 0.3})], ["depth", "edges"]).round(3))
        [[ nan -0.5]
         [ 0.2  nan]]
    """
    if over not in ("alone", "pair"):
        raise unknown("denominator", over, ["alone", "pair"])
    tasks = checks.names(tasks)
    pairs, _ = _pairs(measured, tasks)
    alone: dict[str, Network] = {}
    for one in sorted(measured, key=lambda one: -one.cost):
        if len(one.losses) == 1:
            alone |= dict.fromkeys(one.losses, one)
    gains = np.full((len(tasks), len(tasks)), np.nan)
    for (i, companion), (j, task) in itertools.permutations(enumerate(tasks), 2):
        if task not in alone:
            raise UserError(f"no network of {task!r} alone was measured.")
        before, after = alone[task].losses[task], pairs[task, companion]
        whole = before if over == "alone" else after
        if whole <= 0:
            where = "alone" if over == "alone" else f"with {companion!r}"
            raise UserError(f"the loss of {task!r} {where} is {whole:g}; a gain is a share of one above 0.")
        gains[i, j] = (before - after) / whole
    return gains


def _tasks(candidates: Sequence[Network]) -> tuple[str, ...]:
    """All tasks, in the order in which they occur first; every candidate is checked."""
    for one in candidates:
        _check(one)
    return checks.names(dict.fromkeys(task for one in candidates for task in one.losses))


def _check(network: Network) -> None:
    if not network.losses:
        raise UserError("a network has no tasks.")
    for task, loss in network.losses.items():
        checks.finite(f"the loss of {task!r} in the network {' + '.join(network.losses)}", loss)
    checks.amount(f"the cost of the network {' + '.join(network.losses)}", network.cost)


def _pairs(measured: Sequence[Network], tasks: Sequence[str]) -> tuple[dict[tuple[str, str], float], float]:
    """Loss of (a task, with another) for every two tasks, and what a pair costs."""
    of_two = {
        frozenset(pair): [one for one in measured if one.tasks == set(pair)]
        for pair in itertools.combinations(tasks, 2)
    }
    for pair, found in of_two.items():
        if len(found) != 1:
            raise UserError(f"{len(found)} networks of {' + '.join(sorted(pair))} were measured; expected one.")
        _check(found[0])
    costs = {found[0].cost for found in of_two.values()}
    if len(costs) > 1:
        raise UserError(f"networks of two tasks cost {', '.join(f'{c:g}' for c in sorted(costs))}; expected one cost.")
    losses = {(a, b): of_two[frozenset((a, b))][0].losses[a] for a, b in itertools.permutations(tasks, 2)}
    return losses, costs.pop()
