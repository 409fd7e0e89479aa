"""How well one task's features serve another: a tournament of transfers (Taskonomy, Zamir et al. 2018, section 3)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mtljax.errors import UserError
from mtljax.relations import checks

_LEAST_SHARE = 0.001


class Priorities(NamedTuple):
    """What the analytic hierarchy process makes of comparisons in pairs.

    Attributes:
        weights: (S,) of each transfer, summing to 1; the affinity of its sources to the target.
        eigenvalue: the greatest of the matrix of ratios; S where all comparisons agree, more where they do not.
    """

    weights: np.ndarray
    eigenvalue: float


def tournament(losses: ArrayLike) -> np.ndarray:
    """How often each transfer into one target beats each other one, image by image.

    Args:
        losses: (S, N) of S transfers on the same N held-out images.

    Returns:
        (S, S) [winner][loser]: share of images where the first's loss is below the second's, ties half, within 0.001 of
        0 and 1, float64.

    Raises:
        UserError: for another shape, or a loss that is not finite (which).

    Example:
        >>> print(tournament([[0.1, 0.2, 0.3, 0.4], [0.2, 0.1, 0.4, 0.4]]))
        [[0.5   0.625]
         [0.375 0.5  ]]
    """
    losses = checks.table("the loss", losses, "transfer", "image")
    return np.clip(np.stack([beaten_share(one, losses) for one in losses]), _LEAST_SHARE, 1 - _LEAST_SHARE)


def ahp(wins: ArrayLike) -> Priorities:
    """Affinities from shares of wins: the principal eigenvector of their ratios W[i][j] / W[j][i].

    Args:
        wins: (S, S) [winner][loser], above 0, W + W^T = 1; as of `tournament`.

    Raises:
        UserError: for another matrix.

    Example:
        >>> weights = np.array([0.6, 0.3, 0.1])
        >>> wins = weights[:, None] / (weights[:, None] + weights)
        >>> print(ahp(wins).weights.round(6), round(ahp(wins).eigenvalue, 6))
        [0.6 0.3 0.1] 3.0
    """
    wins = checks.table("the share of wins", wins, "transfer", "transfer")
    if len(wins) != len(wins.T):
        raise UserError(f"shares of wins have shape {wins.shape}; expected a square matrix.")
    for i, j in np.argwhere((wins <= 0) | (np.abs(wins + wins.T - 1) > 1e-6)):
        raise UserError(
            f"transfer {i} wins {wins[i, j]:g} against {j}, which wins {wins[j, i]:g}; expected shares above 0 that "
            "are 1 together."
        )
    values, vectors = np.linalg.eig(wins / wins.T)
    greatest = int(np.argmax(np.real(values)))
    weights = np.abs(np.real(vectors[:, greatest]))
    return Priorities(weights / weights.sum(), float(np.real(values[greatest])))


def gain(losses: ArrayLike, scratch: ArrayLike) -> np.ndarray:
    """Share of images where a transfer beats a network trained from scratch on the same little data, ties half.

    Args:
        losses: (S, N) of S transfers on the same N held-out images.
        scratch: (N,) of the network from scratch.

    Returns:
        (S,) float64.

    Raises:
        UserError: for another shape, or a loss that is not finite (which).

    Example:
        >>> print(gain([[0.1, 0.2, 0.3, 0.4]], scratch=[0.2, 0.1, 0.4, 0.4]))
        [0.625]
    """
    losses = checks.table("the loss", losses, "transfer", "image")
    reference = checks.row("the loss to beat", scratch, losses.shape[1])
    return 1 - beaten_share(reference, losses)


def quality(losses: ArrayLike, own: ArrayLike) -> np.ndarray:
    """Share of images where a transfer beats the target's own network trained on all data; otherwise as `gain`.

    Args:
        losses: (S, N) of S transfers on the same N held-out images.
        own: (N,) of the target's own network.

    Example:
        >>> print(quality([[0.3, 0.2, 0.3, 0.4]], own=[0.2, 0.1, 0.4, 0.3]))
        [0.25]
    """
    return gain(losses, own)


def beaten_share(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(S,) share of images where one's losses (N,) are below those of others (S, N), ties half."""
    return np.mean((one < others) + 0.5 * (one == others), axis=1)


def distance_shown(affinity: ArrayLike) -> np.ndarray:
    """The distance exp(-20 P) by which affinities are shown in figures: 0 is near, 1 far.

    Example:
        >>> print(distance_shown([0.0, 0.05, 0.5]).round(3))
        [1.    0.368 0.   ]
    """
    return np.exp(-20 * checks.numbers("affinity", affinity))
