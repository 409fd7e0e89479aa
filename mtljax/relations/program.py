"""The one integer program behind every choice here: sources are chosen under a budget, each target has its best link.

Choosing networks, groups or a taxonomy are all of this kind. A link leads to a target and needs one source or more;
the sum of the worths of the targets' best links is to be the greatest. `scipy.optimize.milp` (HiGHS) solves it.
"""

import dataclasses

import numpy as np

_SCALE = 1e4  # of objectives: HiGHS stops at an absolute gap of 1e-6, which is then 1e-10 of the greatest regret
_TIE = 1e-8  # of the greatest regret that is left: what is within it is as good
_MOST_ROWS = 16  # of a budget
_SHRUNK = 100  # if regrets are that much smaller than they were, they are scaled once more


@dataclasses.dataclass(frozen=True)
class Program:
    """What is to be chosen from.

    Attributes:
        worth: (M,) of each link.
        target: (M,) which target a link leads to, 0 to T - 1; every target has a link.
        needs: (N, 2) rows of a link and a source that it needs; every link needs one or more.
        costs: (S,) of each source.
        budget: the most that chosen sources may cost in all.
    """

    worth: np.ndarray
    target: np.ndarray
    needs: np.ndarray
    costs: np.ndarray
    budget: float

    @property
    def regret(self) -> np.ndarray:
        """(M,) by how much the worth of a link is below that of its target's best."""
        best = np.full(self.target.max() + 1, -np.inf)
        np.maximum.at(best, self.target, self.worth)
        return best[self.target] - self.worth

    def links(self, chosen: np.ndarray) -> np.ndarray:
        """(T,) each target's best link with chosen sources (S,), the first among equals; -1 where there is none."""
        missing = np.zeros(len(self.worth), bool)
        missing[self.needs[~chosen[self.needs[:, 1]], 0]] = True
        found = np.full(self.target.max() + 1, -1)
        for link in np.argsort(self.regret, kind="stable"):
            if not missing[link] and found[self.target[link]] < 0:
                found[self.target[link]] = link
        return found

    def loss(self, chosen: np.ndarray) -> float:
        """By how much the worth of chosen sources, which have a link to each target, is below that of all."""
        return float(self.regret[self.links(chosen)].sum())


def solve(program: Program) -> np.ndarray | None:
    """The sources to choose, (S,) bool: the greatest worth; of these the least cost, the fewest, the first in order.

    Worths within 1e-8 of the greatest difference that counts are taken as equal.

    Returns:
        None where the budget is below the cheapest cover.
    """
    chosen = best(program)
    return None if chosen is None else first_of_the_best(program, chosen)


def best(program: Program) -> np.ndarray | None:
    """Sources of the greatest worth, (S,) bool, whatever they cost within the budget; None where it is too small."""
    regret = program.regret
    links = np.arange(len(regret))
    while True:
        model = _Model(program, links)
        chosen = model.least(model.of_links(regret))
        if chosen is None:
            return None
        left = links[
            regret[links] <= program.loss(chosen) * (1 + _TIE)
        ]  # No single link of the best is worse than all.
        if regret[left].max() * _SHRUNK >= regret[links].max() or not regret[left].any():
            return chosen
        links = left


def first_of_the_best(program: Program, chosen: np.ndarray) -> np.ndarray:
    """Of all choices of the greatest worth, of which one is given: the least cost, the fewest, the first in order."""
    regret = program.regret
    left = np.flatnonzero(regret <= program.loss(chosen) * (1 + _TIE))
    model, good = _Model(program, left), program.loss(chosen) + _TIE * regret[left].max()
    used = np.zeros(len(chosen), bool)
    used[program.needs[np.isin(program.needs[:, 0], program.links(chosen)), 1]] = True
    model.hold(program.costs, program.costs[used].sum(), margin=True)
    other = model.least(model.of_links(regret), (used, used.sum() - 1))
    if other is None or program.loss(other) > good:
        return used  # Nothing is as good and costs no more, but for what has all of it and more.
    model.hold_links(regret, good)
    return _first_in_order(model, _fewest(model, program.costs, other))


def cheapest(program: Program) -> np.ndarray:
    """The sources of the cheapest cover: (S,) bool, whatever the budget is."""
    model = _Model(dataclasses.replace(program, budget=float(program.costs.sum())), np.arange(len(program.worth)))
    return model.known(model.least(model.of_sources(program.costs)))


def _fewest(model: "_Model", costs: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Of all that a model holds to be as good, one of the least cost, and of these one of the fewest sources."""
    for amounts in (costs, np.ones(len(costs))):
        if (amounts > 0).any():
            chosen = model.known(model.least(model.of_sources(amounts)))
            model.hold(amounts, amounts[chosen].sum(), margin=True)
    return chosen


def _first_in_order(model: "_Model", chosen: np.ndarray) -> np.ndarray:
    """Of all that a model holds to be as good, the one whose places, in ascending order, are the first."""
    count = model.of_sources(np.ones(len(chosen)))
    if model.least(count, (chosen, chosen.sum() - 1)) is None:
        return chosen
    last = -1
    for position in range(chosen.sum()):
        while True:
            place = np.flatnonzero(chosen)[position]
            earlier = (np.arange(len(chosen)) > last) & (np.arange(len(chosen)) < place)
            other = model.least(count, (-1.0 * earlier, -1)) if earlier.any() else None
            if other is None:
                break
            chosen = other
        model.hold(1.0 * earlier, 0)
        model.hold(-1.0 * (np.arange(len(chosen)) == place), -1)
        last = place
    return chosen


class _Model:
    """The program as HiGHS takes it: whether a source is chosen, then how much of a link is used."""

    def __init__(self, program: Program, links: np.ndarray) -> None:
        from scipy.sparse import csr_array

        self._sources, self._links = len(program.costs), links
        place = np.full(len(program.worth), -1)
        place[links] = np.arange(len(links))
        needs = program.needs[place[program.needs[:, 0]] >= 0]
        rows, width = np.arange(len(needs)), self._sources + len(links)
        ones = np.ones(len(needs))
        columns = np.r_[self._sources + place[needs[:, 0]], needs[:, 1]]
        self._available = csr_array((np.r_[ones, -ones], (np.r_[rows, rows], columns)), shape=(len(rows), width))
        targets = program.target[links], self._sources + np.arange(len(links))
        self._one_each = csr_array((np.ones(len(links)), targets), shape=(program.target.max() + 1, width))
        self._held: list[tuple[np.ndarray, float]] = []
        for row, most in zip(*budget_rows(program.costs, program.budget), strict=True):
            self.hold(row, most)

    def of_sources(self, amounts: np.ndarray) -> np.ndarray:
        """Coefficients that sum an amount (S,) over the sources that are chosen."""
        return np.r_[amounts, np.zeros(len(self._links))]

    def of_links(self, amounts: np.ndarray) -> np.ndarray:
        """Coefficients that sum an amount (M,) over the links that are used."""
        return np.r_[np.zeros(self._sources), amounts[self._links]]

    def hold(self, amounts: np.ndarray, most: float, *, margin: bool = False) -> None:
        """From now on, the sum of an amount (S,) over the chosen sources is at most so much, or that and a rounding."""
        self._hold(self.of_sources(amounts), most + margin * _TIE * np.abs(amounts).max())

    def hold_links(self, amounts: np.ndarray, most: float) -> None:
        """From now on, the sum of an amount (M,) over the used links is at most so much."""
        self._hold(self.of_links(amounts), most)

    def _hold(self, row: np.ndarray, most: float) -> None:
        scale = _scale(row)
        self._held.append((scale * row, scale * most))

    def least(self, amounts: np.ndarray, also: tuple[np.ndarray, float] | None = None) -> np.ndarray | None:
        """The sources (S,) by which the sum of some amounts is the least; None where there is no solution.

        Args:
            amounts: coefficients of sources and links.
            also: what is held besides, this time: amounts of sources, and the most that they may be in all.
        """
        from scipy.optimize import Bounds, LinearConstraint, milp

        held = [*self._held, *([(self.of_sources(also[0]), also[1])] if also else [])]
        found = milp(
            amounts * _scale(amounts),
            constraints=[
                LinearConstraint(self._available, -np.inf, 0),
                LinearConstraint(self._one_each, 1, 1),
                *(LinearConstraint(row[None], -np.inf, most) for row, most in held),
            ],
            integrality=np.r_[np.ones(self._sources), np.zeros(len(self._links))],
            bounds=Bounds(0, 1),
            options={"mip_rel_gap": 0},
        )
        if found.status == 2:
            return None
        return self.known(found.x[: self._sources] > 0.5 if found.status == 0 else None, found.message)

    @staticmethod
    def known(chosen: np.ndarray | None, message: str = "no solution where there is one") -> np.ndarray:
        """What was found, where something must be."""
        if chosen is None:
            raise RuntimeError(f"the integer program was not solved: {message}.")
        return chosen


def budget_rows(costs: np.ndarray, budget: float) -> tuple[np.ndarray, np.ndarray]:
    """What a budget says of the sources chosen: rows (K, S) whose sums over them are at most limits (K,).

    The first row are the costs. The others say that of those which cost more than a k-th of the budget there are less
    than k, by which the linear relaxation is much nearer to the truth.
    """
    limit = budget + _TIE * max(budget, costs.max())
    rows, limits = [costs], [limit]
    for fewer in range(min(len(costs), _MOST_ROWS)):
        dear = costs * (fewer + 1) > limit * (1 + _TIE)
        if dear.any() and not (fewer and (dear == (rows[-1] > 0)).all() and limits[-1] <= fewer):
            rows.append(1.0 * dear)
            limits.append(fewer)
    return np.stack(rows), np.array(limits, float)


def _scale(amounts: np.ndarray) -> float:
    greatest = np.abs(amounts).max()
    return _SCALE / greatest if greatest else 1.0
