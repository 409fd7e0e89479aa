"""Figures of predicted paths: displacement errors, of the likeliest mode and of the best of several."""

import numpy as np

MISS = 2.0  # metres


def path_errors(
    paths: np.ndarray, logits: np.ndarray, truth: np.ndarray, valid: np.ndarray, best: int = 1
) -> dict[str, np.ndarray]:
    """The errors of each object, over its `best` likeliest modes (ties: the first).

    Args:
        paths: (N, K, T, D), predicted modes, metres.
        logits: (N, K).
        truth: (N, T, D).
        valid: (N, T) bool, steps that are known.
        best: how many modes count.

    Returns:
        minADE, the least mean distance over known steps; minFDE, the least at the last known step; ADE_of_best_FDE, the
        mean distance of the mode of least minFDE: each (n,), of the objects that have a known step. NaN where a mode or
        logit of an object is no number.

    Example:
        >>> paths = np.array([[[[0.0, 0.0], [0.0, 3.0]], [[1.0, 0.0], [1.0, 0.0]]]])  # two modes of two steps
        >>> errors = path_errors(paths, np.zeros((1, 2)), np.zeros((1, 2, 2)), np.ones((1, 2), bool), best=2)
        >>> print(errors["minADE"], errors["minFDE"])
        [1.] [1.]
    """
    known = valid.any(axis=1)
    paths, logits, truth, valid = paths[known], logits[known], truth[known], valid[known]
    finite = np.asarray(np.isfinite(paths).all(axis=(1, 2, 3)) & np.isfinite(logits).all(axis=1))
    likeliest = np.argsort(-np.where(finite[:, None], logits, 0.0), axis=1, kind="stable")[:, :best]
    chosen = np.take_along_axis(np.where(finite[:, None, None, None], paths, 0.0), likeliest[..., None, None], axis=1)
    wanted = np.where(valid[..., None], truth, 0.0)[:, None]
    distance = np.linalg.norm(np.where(valid[:, None, :, None], chosen - wanted, 0.0), axis=3)
    mean = distance.sum(axis=2) / valid.sum(axis=1)[:, None]
    last = valid.shape[1] - 1 - np.argmax(valid[:, ::-1], axis=1)
    final = np.take_along_axis(distance, last[:, None, None], axis=2)[..., 0]
    rows = np.arange(len(final))
    found = {"minADE": mean.min(axis=1), "minFDE": final.min(axis=1),
             "ADE_of_best_FDE": mean[rows, final.argmin(axis=1)]}  # fmt: skip
    return {name: np.where(finite, values, np.nan) for name, values in found.items()}


def path_figures(errors: dict[str, np.ndarray], miss: float = MISS) -> dict[str, float]:
    """The means over objects, and `miss`: the share whose minFDE is above a distance. NaN without objects.

    Args:
        errors: what `path_errors` gave.
        miss: metres.

    Example:
        >>> print(path_figures({"minADE": np.array([1.0, 2.0]), "minFDE": np.array([1.0, 3.0])}))
        {'minADE': 1.5, 'minFDE': 2.0, 'miss': 0.5}
    """
    final = errors["minFDE"]
    missed = np.where(np.isnan(final), np.nan, final > miss)
    return {name: float(np.mean(x)) if len(x) else float("nan") for name, x in (errors | {"miss": missed}).items()}
