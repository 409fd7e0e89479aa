"""How tasks vary together, from the weights of their last layers (Zhang and Yeung 2010, `MTRL`)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mtljax.errors import UserError
from mtljax.relations import checks

_EPS = 1e-6


class TaskCovariance(NamedTuple):
    """How tasks vary together.

    Attributes:
        omega: (T, T) the covariance, of trace 1.
        correlation: (T, T) omega[i][j] / sqrt(omega[i][i] omega[j][j]), signed.
    """

    omega: np.ndarray
    correlation: np.ndarray


class LinearTasks(NamedTuple):
    """Linear models of several tasks, and their covariance, learned together.

    Attributes:
        weights: (D, T) a column a task.
        covariance: of the tasks.
        objectives: after each iteration; it never rises.
    """

    weights: np.ndarray
    covariance: TaskCovariance
    objectives: np.ndarray


def task_covariance(weights: ArrayLike, *, eps: float = _EPS) -> TaskCovariance:
    """The covariance that fits given weights best: (W^T W + eps I)^(1/2) over its trace.

    Args:
        weights: (D, T) a column a task, such as its last layer's weights, all of one shape, flattened.
        eps: keeps the matrix positive; in units of squared weights.

    Raises:
        UserError: for a single task, a weight that is not finite, or no weights but 0 and eps 0.

    Example:
        >>> print(task_covariance([[1.0, -2.0, 0.0], [0.5, -1.0, 1.0]]).correlation.round(2))
        [[ 1.   -1.    0.21]
         [-1.    1.   -0.21]
         [ 0.21 -0.21  1.  ]]
    """
    weights = checks.table("the weight", weights, "place", "task")
    if weights.shape[1] < 2:
        raise UserError("there are weights of one task; it has no other to be related to, expected two or more.")
    eps = checks.amount("eps", eps)
    values, vectors = np.linalg.eigh(weights.T @ weights + eps * np.eye(weights.shape[1]))
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    deviations = np.sqrt(np.diagonal(root))
    if not deviations.all():
        raise UserError(f"the weights of task {np.argmin(deviations)} are all 0; with eps above 0 they may be.")
    return TaskCovariance(root / np.trace(root), root / deviations / deviations[:, None])


def learn_covariance(
    inputs: Sequence[ArrayLike],
    targets: Sequence[ArrayLike],
    *,
    lambda_1: float,
    lambda_2: float,
    eps: float = _EPS,
    iterations: int = 100,
) -> LinearTasks:
    """Linear models and their covariance, in turns: each the best for the other.

    The objective, with tr O = 1, is
    `sum_t mean (X_t w_t - y_t)^2 + lambda_1 / 2 |W|^2 + lambda_2 / 2 tr((W^T W + eps I) O^-1)`.

    Args:
        inputs: of each task (N_t, D).
        targets: of each task (N_t,).
        lambda_1: how much weights are held to be small.
        lambda_2: how much they are held to vary as the covariance says.
        eps: keeps the covariance positive, above 0.
        iterations: how many turns.

    Raises:
        UserError: for a single task, shapes that do not fit, numbers that are not finite, eps 0 or no iterations.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(50, 3))
        >>> learned = learn_covariance([x, x], [x @ [1, 2, 3], x @ [-1, -2, -3]], lambda_1=0.01, lambda_2=0.01)
        >>> print(learned.covariance.correlation[0, 1].round(2))
        -1.0
    """
    inputs = [checks.table("the input", x, "example", "feature") for x in inputs]
    if len(inputs) < 2 or len(inputs) != len(targets):
        raise UserError(
            f"there are inputs of {len(inputs)} tasks, targets of {len(targets)}; expected two or more of each."
        )
    if len({x.shape[1] for x in inputs}) > 1:
        raise UserError(f"tasks have {', '.join(str(x.shape[1]) for x in inputs)} features; expected as many of each.")
    targets = [checks.row("targets", y, len(x)) for x, y in zip(inputs, targets, strict=True)]
    lambda_1, lambda_2 = checks.amount("lambda_1", lambda_1), checks.amount("lambda_2", lambda_2)
    if checks.amount("eps", eps) == 0 or iterations < 1:
        raise UserError(f"eps is {eps:g}, iterations {iterations}; expected eps above 0, and an iteration or more.")
    count = len(inputs)
    omega, objectives = np.eye(count) / count, []
    for _ in range(iterations):
        weights = _best_weights(inputs, targets, lambda_1, lambda_2 * np.linalg.inv(omega))
        covariance = task_covariance(weights, eps=eps)
        omega = covariance.omega
        errors = sum(np.mean((x @ w - y) ** 2) for x, y, w in zip(inputs, targets, weights.T, strict=True))
        spread = np.trace((weights.T @ weights + eps * np.eye(count)) @ np.linalg.inv(omega))
        objectives.append(errors + lambda_1 / 2 * np.sum(weights**2) + lambda_2 / 2 * spread)
    return LinearTasks(weights, covariance, np.array(objectives))


def _best_weights(
    inputs: Sequence[np.ndarray], targets: Sequence[np.ndarray], own: float, tied: np.ndarray
) -> np.ndarray:
    """The weights (D, T) of the least objective for a covariance: one linear system.

    Args:
        inputs: of each task (N_t, D).
        targets: of each task (N_t,).
        own: lambda_1.
        tied: (T, T) lambda_2 times the inverse of the covariance.
    """
    count, width = len(inputs), inputs[0].shape[1]
    system = np.kron(tied + own * np.eye(count), np.eye(width))
    for t, x in enumerate(inputs):
        system[t * width : (t + 1) * width, t * width : (t + 1) * width] += 2 / len(x) * x.T @ x
    right = np.concatenate([2 / len(x) * x.T @ y for x, y in zip(inputs, targets, strict=True)])
    return np.linalg.solve(system, right).reshape(count, width).T
