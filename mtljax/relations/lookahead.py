"""What a step on one task's loss does to another's, in one run (TAG, Fifty et al. 2021, section 3.1)."""

import numpy as np
from numpy.typing import ArrayLike

from mtljax.errors import UserError
from mtljax.relations import checks


def lookahead(losses: ArrayLike, after: ArrayLike, step: float) -> np.ndarray:
    """The exact affinity Z[i][j] = (1 - L_j(s - h g_i) / L_j(s)) / h of a plain gradient step h on shared parameters s.

    Args:
        losses: (T,) before the step.
        after: (T, T) [source][target] of each task after a step on the loss of the source alone, on the same batch.
        step: h, above 0.

    Returns:
        (T, T) [source][target] float64: above 0 where the source's step lowers the target's loss.

    Raises:
        UserError: for shapes that do not fit, a number that is not finite, a loss or a step that is not above 0.

    Example:
        >>> print(lookahead([1.0, 2.0], after=[[0.5, 2.2], [1.0, 1.0]], step=0.1).round(6))
        [[ 5. -1.]
         [ 0.  5.]]
    """
    losses, after = _losses(losses), checks.table("the loss after a step", after, "source", "target")
    _same_tasks(after, losses, "losses after a step")
    if checks.finite("the step", step) <= 0:
        raise UserError(f"the step is {step:g}; expected more than 0.")
    return (1 - after / losses) / step


def first_order(gramian: ArrayLike, losses: ArrayLike) -> np.ndarray:
    """The affinity to first order in the step, Z[i][j] = <g_i, g_j> / L_j: from the Gramian of shared gradients.

    Args:
        gramian: (T, T) inner products of the tasks' gradients.
        losses: (T,).

    Returns:
        (T, T) [source][target] float64.

    Raises:
        UserError: as `lookahead`.

    Example:
        >>> print(first_order([[4.0, -1.0], [-1.0, 9.0]], losses=[2.0, 0.5]))
        [[ 2.  -2. ]
         [-0.5 18. ]]
    """
    losses, gramian = _losses(losses), _gramian(gramian)
    _same_tasks(gramian, losses, "entries of the Gramian")
    return gramian / losses


def cosines(gramian: ArrayLike) -> np.ndarray:
    """Cosines between the tasks' gradients, (T, T) float64, the symmetric relation; NaN where a gradient is 0.

    Args:
        gramian: (T, T) inner products of the tasks' gradients.

    Raises:
        UserError: for a matrix that is not square, or a number that is not finite.

    Example:
        >>> print(cosines([[4.0, -3.0], [-3.0, 9.0]]))
        [[ 1.  -0.5]
         [-0.5  1. ]]
    """
    gramian = _gramian(gramian)
    norms = np.sqrt(np.diagonal(gramian))
    known = np.where(norms > 0, norms, np.nan)
    return gramian / known / known[:, None]


def _losses(losses: ArrayLike) -> np.ndarray:
    losses = checks.row("losses", losses)
    for (place,) in np.argwhere(losses <= 0):
        raise UserError(
            f"the loss at place {place} is {losses[place]:g}; what a step changes of it is a share of one above 0."
        )
    return losses


def _gramian(gramian: ArrayLike) -> np.ndarray:
    gramian = checks.table("the inner product", gramian, "task", "task")
    if len(gramian) != len(gramian.T):
        raise UserError(f"the Gramian has shape {gramian.shape}; expected a square matrix.")
    return gramian


def _same_tasks(matrix: np.ndarray, losses: np.ndarray, what: str) -> None:
    if matrix.shape != (len(losses), len(losses)):
        raise UserError(f"{what} have shape {matrix.shape}; expected {(len(losses),) * 2}, as there are losses.")
