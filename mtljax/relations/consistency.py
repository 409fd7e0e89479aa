"""Whether predictions agree with each other along several paths (cross-task consistency, Zamir et al. 2020)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mtljax.errors import UserError
from mtljax.relations import checks


class ActivePaths(NamedTuple):
    """Paths that are used for an epoch.

    Attributes:
        chosen: their places, that whose perceptual loss is most often above the direct loss first.
        shares: (K,) share of images where a path's perceptual loss is above the direct one.
    """

    chosen: tuple[int, ...]
    shares: np.ndarray


class Agreement(NamedTuple):
    """Whether energies tell errors.

    Attributes:
        pearson: correlation of energies and errors.
        spearman: of their ranks.
    """

    pearson: float
    spearman: float


def consistency_energy(distances: ArrayLike, training: ArrayLike) -> np.ndarray:
    """How much the paths to a prediction disagree with it, without labels: the mean of their standardised distances.

    Args:
        distances: (K, N) of K paths on N images: `|f_{Yi->Y}(f_{X->Yi}(x)) - f_{X->Y}(x)|`.
        training: (K, M) the same on the training images, by whose mean and standard deviation (of the population) those
            of each path are standardised.

    Returns:
        (N,) float64.

    Raises:
        UserError: for shapes that do not fit, a number that is not finite, or a path of one distance on all images of
            training.

    Example:
        >>> print(consistency_energy([[1.0, 4.0], [2.0, 2.0]], training=[[0.0, 2.0], [1.0, 3.0]]))
        [0.  1.5]
    """
    distances = checks.table("the distance", distances, "path", "image")
    training = checks.table("the distance in training", training, "path", "image")
    if len(distances) != len(training):
        raise UserError(f"there are distances of {len(distances)} paths, and in training of {len(training)}.")
    mean, deviation = training.mean(axis=1, keepdims=True), training.std(axis=1, keepdims=True)
    for path in np.flatnonzero(deviation <= 1e-12 * np.abs(mean)):
        raise UserError(f"the distance of path {path} is {mean[path, 0]:g} on all training images; nothing scales it.")
    return np.mean((distances - mean) / deviation, axis=0)


def energy_agreement(energy: ArrayLike, error: ArrayLike) -> Agreement:
    """Correlation of the images' energies (N,) with their errors (N,).

    Raises:
        UserError: for shapes that do not fit, a number that is not finite, or one that all images share.

    Example:
        >>> round(energy_agreement([1.0, 2.0, 3.0], [1.0, 9.0, 4.0]).spearman, 6)
        0.5
    """
    from scipy.stats import rankdata

    energy = checks.row("energies", energy)
    error = checks.row("errors", error, len(energy))
    return Agreement(correlation(energy, error), correlation(rankdata(energy), rankdata(error)))


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's, of two rows of numbers.

    Raises:
        UserError: where all numbers of a row are one.
    """
    first, second = first - first.mean(), second - second.mean()
    for which, row in (("first", first), ("second", second)):
        if np.abs(row).max() == 0:
            raise UserError(f"all {len(row)} numbers of the {which} are the same; they have no correlation.")
    first, second = first / np.linalg.norm(first), second / np.linalg.norm(second)
    return float(np.clip(first @ second, -1, 1))


def roc_auc(shifted: ArrayLike, unshifted: ArrayLike) -> float:
    """Share of pairs of a shifted and an unshifted image in which the shifted one has more energy, ties half.

    Raises:
        UserError: for another shape than (N,) and (M,), or a number that is not finite.

    Example:
        >>> roc_auc([2.0, 3.0], unshifted=[1.0, 2.0])
        0.875
    """
    from scipy.stats import rankdata

    shifted, unshifted = checks.row("energies", shifted), checks.row("energies of unshifted images", unshifted)
    ranks = rankdata(np.r_[shifted, unshifted])[: len(shifted)]
    return float((ranks.sum() - len(shifted) * (len(shifted) + 1) / 2) / (len(shifted) * len(unshifted)))


def consistency_coefficients(gradients: ArrayLike, direct: int = 0) -> np.ndarray:
    """Weights of the losses in a step: (G - g_l) / ((n - 1) G), G the sum of all g; the direct one's times n - 1.

    Args:
        gradients: (n,) g_l, of each loss the mean over the predictor's parameters of its gradient's absolute value.
        direct: place of the direct loss.

    Returns:
        (n,) float64.

    Raises:
        UserError: for fewer than two losses, gradients below 0 or all 0, or a place that is not there.

    Example:
        >>> print(consistency_coefficients([1.0, 2.0, 1.0]))
        [0.75  0.25  0.375]
    """
    gradients = checks.row("gradients", gradients)
    count, total = len(gradients), gradients.sum()
    if count < 2 or not 0 <= direct < count:
        raise UserError(f"there are {count} losses, the direct one at place {direct}; expected two or more with it.")
    if (gradients < 0).any() or not total:
        raise UserError(f"mean absolute gradients are {gradients.tolist()}; expected 0 or more, and not all 0.")
    weights = (total - gradients) / ((count - 1) * total)
    weights[direct] *= count - 1
    return weights


def active_paths(perceptual: ArrayLike, direct: ArrayLike, most: int) -> ActivePaths:
    """The paths worth using for an epoch: whose perceptual loss is most often above the direct loss, but not always.

    Args:
        perceptual: (K, N) of K paths on N images.
        direct: (K, N) of a network for what each path leads to, on the same images.
        most: how many are chosen at most; the first of those that are equal.

    Raises:
        UserError: for shapes that do not fit, a number that is not finite, or `most` below 1.

    Example:
        >>> active_paths([[2.0, 0.0], [2.0, 2.0], [0.0, 0.0]], np.ones((3, 2)), most=1).chosen
        (0,)
    """
    perceptual = checks.table("the perceptual loss", perceptual, "path", "image")
    direct = checks.table("the direct loss", direct, "path", "image")
    if perceptual.shape != direct.shape or most < 1:
        raise UserError(
            f"perceptual losses have shape {perceptual.shape}, direct ones {direct.shape}, of which {most} are to be "
            "chosen; expected one shape, and one or more."
        )
    shares = np.mean(perceptual > direct, axis=1)
    order = [int(path) for path in np.argsort(-shares, kind="stable") if shares[path] < 1]
    return ActivePaths(tuple(order[:most]), shares)
