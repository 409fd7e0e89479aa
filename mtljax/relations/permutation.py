"""Whether two measures of tasks' relations agree, judged by permuting the tasks of one of them."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mtljax.errors import UserError
from mtljax.relations import checks
from mtljax.relations.consistency import correlation

_ALL = 7  # tasks up to which all permutations are tried
_ROUNDING = 1e-12


class Relation(NamedTuple):
    """How two matrices agree.

    Attributes:
        spearman: correlation of the ranks of the entries beside the diagonal.
        spearman_p: share of permutations whose correlation is as far from 0, the identity among them.
        pearson: correlation of the entries.
        pearson_p: as `spearman_p`.
        permutations: how many were tried.
    """

    spearman: float
    spearman_p: float
    pearson: float
    pearson_p: float
    permutations: int

    @property
    def least_p(self) -> float:
        """Below this no p can be: 1 / permutations, 1/24 with four tasks, whatever the matrices are."""
        return 1 / self.permutations


def permutation_test(
    first: ArrayLike, second: ArrayLike, tasks: Sequence[str], *, draws: int = 9999, seed: int = 0
) -> Relation:
    """Correlation of two matrices beside their diagonals, and how often it is as strong when tasks change names.

    Entries of a matrix are not independent, for those of one row or column share a task; therefore rows and columns of
    one matrix are permuted together: all T! ways for seven tasks or fewer, else the identity and random ones.

    Args:
        first: (T, T) [source][target]; the diagonal is not looked at.
        second: (T, T) [source][target], of the same tasks in the same order.
        tasks: names of rows and columns.
        draws: how many random permutations, with more than seven tasks.
        seed: of the random permutations.

    Raises:
        UserError: for one task, a matrix that does not fit the names, an entry that is not finite (which pair), one
            that all pairs share, or no draws.

    Example:
        >>> first = [[0, 1, 2], [3, 0, 4], [5, 6, 0]]
        >>> second = [[0, 1, 2], [3, 0, 4], [6, 5, 0]]
        >>> found = permutation_test(first, second, ["a", "b", "c"])
        >>> round(found.spearman, 3), round(found.spearman_p, 3), found.permutations, round(found.least_p, 3)
        (0.943, 0.333, 6, 0.167)
    """
    from scipy.stats import rankdata

    tasks = checks.names(tasks)
    if draws < 1:
        raise UserError(f"there are {draws} draws; expected one or more.")
    beside = ~np.eye(len(tasks), dtype=bool)
    one = checks.square("the first matrix", first, tasks)
    other = checks.square("the second matrix", second, tasks)
    orders = list(_orders(len(tasks), draws, seed))
    pearson = _correlation(one, other, orders)
    for matrix in (one, other):
        matrix[beside] = rankdata(matrix[beside])
    return Relation(*_correlation(one, other, orders), *pearson, len(orders))


def _correlation(one: np.ndarray, other: np.ndarray, orders: Sequence[np.ndarray]) -> tuple[float, float]:
    """Of entries beside the diagonal; and the share of orders of the other's tasks by which it is as far from 0."""
    beside = ~np.eye(len(one), dtype=bool)
    observed = correlation(one[beside], other[beside])
    one, other = _unit(one, beside), _unit(other, beside)
    found = np.array([np.sum(one * other[np.ix_(order, order)]) for order in orders])
    return observed, float(np.mean(np.abs(found) >= abs(observed) - _ROUNDING))


def both_ways(matrix: ArrayLike, tasks: Sequence[str]) -> dict[tuple[str, str], float]:
    """The mean of both directions for every two tasks, in the order of the tasks.

    Args:
        matrix: (T, T); the diagonal is not looked at.
        tasks: names of rows and columns.

    Raises:
        UserError: as `permutation_test`.

    Example:
        >>> both_ways([[0, 1, 2], [3, 0, 4], [6, 5, 0]], ["a", "b", "c"])
        {('a', 'b'): 2.0, ('a', 'c'): 4.0, ('b', 'c'): 4.5}
    """
    tasks = checks.names(tasks)
    matrix = checks.square("the matrix", matrix, tasks)
    mean = (matrix + matrix.T) / 2
    pairs = itertools.combinations(range(len(tasks)), 2)
    return {(tasks[i], tasks[j]): float(mean[i, j]) for i, j in pairs}


def _unit(matrix: np.ndarray, beside: np.ndarray) -> np.ndarray:
    """The matrix with entries beside the diagonal of mean 0 and norm 1, and 0 on it: sums of products correlate."""
    centred = np.where(beside, matrix - matrix[beside].mean(), 0)
    return centred / np.linalg.norm(centred)


def _orders(count: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    if count <= _ALL:
        yield from (np.array(order) for order in itertools.permutations(range(count)))
        return
    random = np.random.default_rng(seed)
    yield np.arange(count)
    yield from (random.permutation(count) for _ in range(draws))
