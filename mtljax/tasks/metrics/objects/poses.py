"""Figures of objects' poses: ADD, ADD-S, degrees, metres, and shares below limits."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mtljax.objects.symmetry import CUBE, NONE, nearest

NEAR = 0.1  # share of the diameter that ADD stays below
AUC_LIMIT = 0.1  # metres
CLOSE = (0.05, 5.0)  # metres and degrees of 5cm5deg


class Errors(NamedTuple):
    """Of each object; NaN where it was not found, or where its pose is no number.

    Attributes:
        found: bool, whether it was.
        add: ADD in metres.
        add_s: ADD-S in metres.
        degrees: of rotation.
        degrees_symmetric: to the nearest rotation that looks the same.
        metres: of translation.
        diameter: the greatest distance of two of the object's points, metres.
        symmetric: bool, whether other rotations look the same.
    """

    found: np.ndarray
    add: np.ndarray
    add_s: np.ndarray
    degrees: np.ndarray
    degrees_symmetric: np.ndarray
    metres: np.ndarray
    diameter: np.ndarray
    symmetric: np.ndarray


def pose_errors(
    points: np.ndarray,
    rotation: np.ndarray | None,
    translation: np.ndarray,
    true_rotation: np.ndarray,
    true_translation: np.ndarray,
    kind: int,
) -> Errors:
    """The errors of one object's pose, each ().

    ADD is the mean distance of the object's points, moved by both poses, from themselves; ADD-S the mean over the truly
    moved ones of the distance to the nearest (Hinterstoisser 2012).

    Args:
        points: (n, 3), of the object, metres along its own axes.
        rotation: (3, 3), predicted, object to camera; None for an object that was not found.
        translation: (3,), metres.
        true_rotation: (3, 3).
        true_translation: (3,).
        kind: of symmetry, see `mtljax.objects.symmetry`. Which side of a `CUBE` is which is not judged:
            the predicted rotation is first turned to the nearest to the truth.

    Example:
        >>> points = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
        >>> turned = np.diag([-1.0, -1.0, 1.0])
        >>> errors = pose_errors(points, turned, np.zeros(3), np.eye(3), np.zeros(3), kind=1)  # a box
        >>> print(errors.add, errors.add_s, errors.degrees.round(6), errors.degrees_symmetric)
        2.0 0.0 180.0 0.0
    """
    from scipy.spatial import KDTree
    from scipy.spatial.distance import pdist

    diameter, symmetric = np.asarray(np.max(pdist(points))), np.asarray(kind != NONE)
    if rotation is None or not (np.isfinite(rotation).all() and np.isfinite(translation).all()):
        none = np.asarray(np.nan)
        return Errors(np.asarray(rotation is not None), none, none, none, none, none, diameter, symmetric)
    if kind == CUBE:
        rotation, _ = nearest(true_rotation, rotation, np.asarray(CUBE), np.ones(3), np)
    found, true = points @ rotation.T + translation, points @ true_rotation.T + true_translation
    same, _ = nearest(rotation, true_rotation, np.asarray(kind), np.ones(3), np)
    return Errors(
        found=np.asarray(True),
        add=np.mean(np.linalg.norm(found - true, axis=1)),
        add_s=np.mean(KDTree(found).query(true)[0]),
        degrees=degrees(rotation, true_rotation),
        degrees_symmetric=degrees(rotation, same),
        metres=np.asarray(np.linalg.norm(translation - true_translation)),
        diameter=diameter,
        symmetric=symmetric,
    )


def degrees(rotation: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The angle between rotations (..., 3, 3), in degrees; exact near 0 and 180, as an arc cosine is not.

    Example:
        >>> print(degrees(np.diag([1.0, -1.0, -1.0]), np.eye(3)))
        180.0
    """
    from scipy.spatial.transform import Rotation

    between = np.swapaxes(truth, -1, -2) @ rotation
    return np.degrees(Rotation.from_matrix(between.reshape(-1, 3, 3)).magnitude()).reshape(between.shape[:-2])


def pose_figures(errors: Errors, close: tuple[float, float] = CLOSE) -> dict[str, float]:
    """The figures of a split: means and medians over the objects that were found, shares of all objects.

    ADD(-S) is ADD-S where an object is symmetric, else ADD. AUC is the area under the share of errors below x, from 0
    to 0.1 m, over 0.1 m: the mean of max(0, 1 - e / 0.1). An object that was not found fails every share.

    Args:
        errors: of all objects, each (N,).
        close: metres and degrees of the last two shares: 5 cm and 5 degrees.

    Returns:
        mean and median of ADD, ADD-S, degrees, degrees_symmetric and metres; `ADD(-S) < 0.1 d`, `ADD-S < 0.1 d`, `AUC
        ADD-S`, `AUC ADD(-S)`, `close`, `close symmetric`. NaN without an object, and where a pose that was found is no
        number; means are NaN where none was found.
    """
    named = {"ADD": errors.add, "ADD-S": errors.add_s, "degrees": errors.degrees,
             "degrees_symmetric": errors.degrees_symmetric, "metres": errors.metres}  # fmt: skip
    figures = {f"{what} {name}": value for name, x in named.items() for what, value in _middles(x).items()}
    either = np.where(errors.symmetric, errors.add_s, errors.add)
    near, far = errors.metres < close[0], NEAR * errors.diameter
    shares = {
        "ADD(-S) < 0.1 d": either < far,
        "ADD-S < 0.1 d": errors.add_s < far,
        "AUC ADD-S": area_under(errors.add_s),
        "AUC ADD(-S)": area_under(either),
        "close": near & (errors.degrees < close[1]),
        "close symmetric": near & (errors.degrees_symmetric < close[1]),
    }
    figures |= {name: float(np.mean(x)) if len(x) else float("nan") for name, x in shares.items()}
    broken = np.any(errors.found & ~np.isfinite(errors.add))
    return dict.fromkeys(figures, float("nan")) if broken else figures


def area_under(errors: np.ndarray, limit: float = AUC_LIMIT) -> np.ndarray:
    """What each error adds to the area under the share of errors below x, from 0 to the limit, over the limit.

    Example:
        >>> print(area_under(np.array([0.0, 0.025, 0.2, np.nan])))
        [1.   0.75 0.   0.  ]
    """
    return np.where(np.isnan(errors), 0.0, np.maximum(0.0, 1 - errors / limit))


def _middles(values: np.ndarray) -> Mapping[str, float]:
    """Mean and median of those that are numbers."""
    values = values[~np.isnan(values)]
    if not len(values):
        return {"mean": float("nan"), "median": float("nan")}
    return {"mean": float(np.mean(values)), "median": float(np.median(values))}
