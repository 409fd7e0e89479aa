"""Candidates that provably are in no best choice, left out before the integer program: of a thousand, tens are left.

With prices for covering a task and for a unit of the budget, the dual of the linear relaxation bounds from below what
any choice with a given candidate loses; a candidate whose bound is above what a known choice loses is not needed. Any
prices give a bound; good ones come from the relaxation itself, solved by column generation.
"""

import numpy as np

from mtljax.relations.program import budget_rows

_FEW = 60  # columns to begin with, and to add in a round
_MARGIN = 1e-6  # of the greatest loss: bounds are that far from the truth at most


def affordable(losses: np.ndarray, costs: np.ndarray, budget: float) -> np.ndarray:
    """Places of the candidates beside which the rest of the budget could pay for the number of tasks that are missing.

    Args:
        losses: (N, T) of each candidate on each task, infinite where it has not got it.
        costs: (N,).
        budget: the most that all chosen may cost.
    """
    sizes = np.isfinite(losses).sum(axis=1)
    tasks = losses.shape[1]
    price = np.full(tasks + 1, np.inf)  # the least that so many tasks can cost
    price[0] = 0
    for missing in range(1, tasks + 1):
        price[missing] = np.min(costs + price[np.maximum(missing - sizes, 0)])
    return np.flatnonzero(costs + price[tasks - sizes] <= budget * (1 + 1e-9))


def lower_bounds(losses: np.ndarray, costs: np.ndarray, budget: float) -> np.ndarray:
    """(N,) the least that any choice with a candidate can lose, as far as the linear relaxation tells.

    Args:
        losses: (N, T) of each candidate on each task, infinite where it has not got it; someone has every task.
        costs: (N,).
        budget: the most that all chosen may cost.
    """
    known = np.isfinite(losses)
    dear = 2 * losses.shape[1] * max(np.abs(losses[known]).max(), 1e-9)  # of a task that nobody has
    columns = np.union1d(np.argsort(np.where(known, losses, dear).sum(axis=1))[:_FEW], np.argsort(losses, axis=0)[:4])
    rows, limits = budget_rows(costs, budget)
    while True:
        tasks, units = _prices(losses[columns], rows[:, columns], limits, dear)
        reduced = units @ rows + np.minimum(losses - tasks, 0).sum(axis=1)
        new = np.setdiff1d(np.flatnonzero(reduced < -1e-9 * dear), columns)
        if not new.size:
            break
        columns = np.union1d(columns, new[np.argsort(reduced[new])[:_FEW]])
    bound = tasks.sum() - units @ limits + np.minimum(reduced, 0).sum()
    return bound + np.maximum(reduced, 0)


def margin(losses: np.ndarray) -> float:
    """By how much a bound may be wrong because solvers are not exact."""
    return _MARGIN * np.abs(losses[np.isfinite(losses)]).max()


def _prices(losses: np.ndarray, rows: np.ndarray, limits: np.ndarray, dear: float) -> tuple[np.ndarray, np.ndarray]:
    """Prices of the linear relaxation with these candidates: of each task (T,), and of a unit of each limit (K,).

    A task may be bought elsewhere, at a dear price, so that there is a solution.
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_array, eye_array, hstack, vstack

    count, tasks = losses.shape
    owner, task = np.nonzero(np.isfinite(losses))
    links = np.arange(len(owner))
    taken = csr_array((np.ones(len(owner)), (links, owner)), shape=(len(owner), count))
    available = hstack([-taken, eye_array(len(owner)), csr_array((len(owner), tasks))])
    within = hstack([csr_array(rows), csr_array((len(rows), len(owner) + tasks))])
    covers = np.r_[task, np.arange(tasks)], count + np.arange(len(owner) + tasks)
    solved = linprog(
        np.r_[np.zeros(count), losses[owner, task], np.full(tasks, dear)],
        A_ub=vstack([available, within]),
        b_ub=np.r_[np.zeros(len(owner)), limits],
        A_eq=csr_array((np.ones(len(owner) + tasks), covers), shape=(tasks, count + len(owner) + tasks)),
        b_eq=np.ones(tasks),
        method="highs-ds",
    )
    if solved.status != 0:
        raise RuntimeError(f"the linear relaxation was not solved: {solved.message}.")
    return solved.eqlin.marginals, np.maximum(-solved.ineqlin.marginals[len(owner) :], 0.0)
