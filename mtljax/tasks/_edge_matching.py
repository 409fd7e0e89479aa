"""Boundary matching on the host: thinning, thresholds, one-to-one matches within a distance (Martin et al. 2004)."""

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph

THRESHOLDS = np.arange(1, 100) / 100
_SLACK = 1.01  # a pixel survives thinning unless a neighbour across the edge exceeds it by one per cent


def thin(probability: np.ndarray) -> np.ndarray:
    """Non-maximum suppression across the edge: (N, H, W) in [0, 1]; suppressed pixels become 0.

    The direction across comes from second derivatives of the smoothed map, as in Dollar & Zitnick 2013. A plateau is
    kept, so a map without a ridge is not thinned.
    """
    smooth = ndimage.gaussian_filter(probability, (0, 1, 1), mode="nearest")
    dy, dx = np.gradient(smooth, axis=(1, 2))
    dyy, dyx = np.gradient(dy, axis=(1, 2))
    _, dxx = np.gradient(dx, axis=(1, 2))
    # The Hessian's eigenvector of strongest curvature points across: negative on a ridge, positive beside it.
    angle = 0.5 * np.arctan2(2 * dyx, dxx - dyy) + np.where(dxx + dyy < 0, np.pi / 2, 0)
    n, y, x = np.indices(probability.shape, sparse=True)
    keep = np.ones(probability.shape, bool)
    for side in (-1, 1):
        at = np.broadcast_arrays(n, y + side * np.sin(angle), x + side * np.cos(angle))
        neighbour = ndimage.map_coordinates(probability, at, order=1, mode="nearest")
        keep &= probability * _SLACK >= neighbour
    return np.where(keep, probability, 0.0)


def count_matches(probability: np.ndarray, truth: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Matches of one image at every threshold.

    Each predicted pixel may be matched with one true pixel within `radius` and each true pixel with one predicted; as
    many as possible are.

    Args:
        probability: (H, W), thinned.
        truth: (H, W) bool.
        radius: in pixels.

    Returns:
        Matched and predicted pixels at each of `THRESHOLDS`, both (99,).
    """
    predicted = np.nonzero(probability >= THRESHOLDS[0])
    strength = probability[predicted]
    order = np.argsort(-strength, kind="stable")
    rows = np.stack(predicted, axis=1)[order]
    number = np.searchsorted(-strength[order], -THRESHOLDS, side="right")
    if radius < 1:
        hits = np.concatenate([[0], np.cumsum(truth[tuple(rows.T)])])
        return hits[number], number
    pairs = _pairs(rows, truth, radius)
    matched = np.zeros(len(THRESHOLDS), int)
    for i, k in enumerate(number):
        if i and k == number[i - 1]:
            matched[i] = matched[i - 1]
        elif k:
            matched[i] = np.count_nonzero(csgraph.maximum_bipartite_matching(pairs[:k], perm_type="column") >= 0)
    return matched, number


def _pairs(rows: np.ndarray, truth: np.ndarray, radius: float) -> sparse.csr_matrix:
    """Which predicted pixel (row) may be matched with which true pixel (column)."""
    height, width = truth.shape
    index = np.full(truth.shape, -1)
    index[truth] = np.arange(np.count_nonzero(truth))
    reach = int(radius)
    steps = [(a, b) for a in range(-reach, reach + 1) for b in range(-reach, reach + 1) if a * a + b * b <= radius**2]
    found = []
    for a, b in steps:
        y, x = rows[:, 0] + a, rows[:, 1] + b
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        column = np.where(inside, index[y.clip(0, height - 1), x.clip(0, width - 1)], -1)
        row = np.nonzero(column >= 0)[0]
        found.append((row, column[row]))
    row, column = (np.concatenate(part) for part in zip(*found, strict=True))
    shape = (len(rows), max(1, np.count_nonzero(truth)))
    return sparse.csr_matrix((np.ones(len(row), np.int8), (row, column)), shape=shape)
