"""Which candidates to choose so that every task is in one: the integer program of networks and of groups."""

import numpy as np

from mtljax.relations.narrowing import affordable, lower_bounds, margin
from mtljax.relations.program import Program, best, cheapest, first_of_the_best

_FEW = 40  # candidates to begin with
_GROWTH = 4


def choose(losses: np.ndarray, costs: np.ndarray, budget: float) -> np.ndarray | None:
    """Places of the candidates to choose, ascending: the least sum over tasks of the least loss.

    Of what is as good, it is the least cost, then the fewest, then the first in order.

    Args:
        losses: (N, T) of each candidate on each task, infinite where it has not got it; someone has every task.
        costs: (N,).
        budget: the most that all chosen may cost.

    Returns:
        None where the budget is below the cheapest cover.
    """
    losses = losses - losses.min(axis=0)  # Regrets: the same choice, and smaller numbers.
    left = affordable(losses, costs, budget)
    if not _covers(losses[left]):
        return None
    found = _of_many(losses[left], costs[left], budget)
    return None if found is None else left[found]


def cheapest_cover(losses: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Places of the candidates of the cheapest choice that has every task; the arguments as of `choose`."""
    return np.flatnonzero(cheapest(program(losses, costs, 0.0)))


def _of_many(losses: np.ndarray, costs: np.ndarray, budget: float) -> np.ndarray | None:
    """As `choose`: the most promising candidates first, until what they give rules out all others."""
    bounds = lower_bounds(losses, costs, budget) if len(losses) > _FEW else np.zeros(len(losses))
    order, few = np.lexsort((losses.min(axis=1), bounds)), min(_FEW, len(losses))
    while True:
        some = np.sort(order[:few])
        needed = some
        good = best(program(losses[some], costs[some], budget)) if _covers(losses[some]) else None
        if good is not None:
            least = losses[some[good]].min(axis=0).sum() + margin(losses)
            needed = np.flatnonzero((bounds <= least) & (losses.min(axis=1) <= least))
            if np.isin(needed, some).all():
                break
        if few == len(losses):
            return None
        few = min(max(len(needed), few + 1), _GROWTH * few, len(losses))
    chosen = np.isin(needed, some[good])
    return needed[first_of_the_best(program(losses[needed], costs[needed], budget), chosen)]


def _covers(losses: np.ndarray) -> bool:
    return bool(np.isfinite(losses).any(axis=0).all())


def program(losses: np.ndarray, costs: np.ndarray, budget: float) -> Program:
    """The integer program of all candidates; the arguments as of `choose`."""
    owner, task = np.nonzero(np.isfinite(losses))
    needs = np.stack([np.arange(len(owner)), owner], axis=1)
    return Program(-losses[owner, task], task, needs, costs, budget)
