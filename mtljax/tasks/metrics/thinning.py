"""Edges one pixel wide: suppression across a ridge of probabilities, then thinning of what is still wider. NumPy."""

import numpy as np

THRESHOLDS = np.arange(1, 100) / 100
_SLACK = 1.01  # a pixel survives suppression unless a neighbour across the edge exceeds it by one per cent
_RING = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]  # around a pixel, from above, clockwise


def thin(probability: np.ndarray) -> np.ndarray:
    """Edges thinned at every threshold: (N, H, W) in [0, 1]; what is thinned away, or below all of them, becomes 0.

    First non-maximum suppression on the smoothed map, across its ridges, the direction of which comes from second
    derivatives, as in Dollar & Zitnick 2013. Plateaus survive that. Then, as in the benchmark of Martin et al. 2004,
    the pixels at or above each of `THRESHOLDS` are thinned to lines, those of all thresholds at once: see `skeleton`.
    Labels go the same way as predictions, so that of a band of two pixels both leave the same one.
    """
    strong = np.where(_suppressed(probability), probability, 0.0)
    return np.where(skeleton(np.searchsorted(THRESHOLDS, strong, side="right")), strong, 0.0)


def skeleton(level: np.ndarray) -> np.ndarray:
    """Which pixels are left of lines when they are thinned, (N, H, W) bool.

    The thinning of Guo & Hall, Parallel thinning with two-subiteration algorithms, CACM 1989: ends of lines stay, and
    what is connected. A pixel goes if it would go from among the pixels of its level and above.

    Args:
        level: (N, H, W) integers or bool; 0 is none.

    Example:
        >>> print(skeleton(np.array([[[1, 1, 1, 1], [1, 1, 1, 1]]])).astype(int)[0])
        [[0 0 0 0]
         [1 1 1 0]]
    """
    padded = np.pad(np.asarray(level, np.int32), [(0, 0), (1, 1), (1, 1)])
    flat, width = padded.reshape(-1), padded.shape[2]
    ring = np.array([y * width + x for y, x in _RING])[:, None]
    at, idle = np.flatnonzero(flat), 0
    while idle < 2:
        for turned in (False, True):
            goes = _removable(flat[at + ring] >= flat[at], turned)
            idle = 0 if goes.any() else idle + 1
            flat[at[goes]] = 0
            at = at[~goes]
    return padded[:, 1:-1, 1:-1] > 0


def _removable(ring: np.ndarray, turned: bool) -> np.ndarray:
    """Whether a pixel goes in one of the two steps, by which of its neighbours are there: (8, n) bool -> (n,)."""
    above, above_right, right, below_right, below, below_left, left, above_left = ring
    sides = (above, above_right | right), (right, below_right | below), (below, below_left | left)
    sides = (*sides, (left, above_left | above))
    lines = sum((~side & after).astype(int) for side, after in sides)
    pairs = [(above_left | above, above_right | right, below_right | below, below_left | left)]
    pairs.append((above | above_right, right | below_right, below | below_left, left | above_left))
    first, second = (sum(x.astype(int) for x in four) for four in pairs)
    neighbours = np.minimum(first, second)
    by_right, by_left = (above | above_right | ~below_right) & right, (below | below_left | ~above_left) & left
    return (lines == 1) & (neighbours >= 2) & (neighbours <= 3) & ~(by_left if turned else by_right)


def _suppressed(probability: np.ndarray) -> np.ndarray:
    """Which pixels no neighbour across their ridge exceeds once all are smoothed, (N, H, W) bool."""
    from scipy import ndimage  # which takes long to import, and is wanted by those alone who judge edges

    smooth = ndimage.gaussian_filter(probability, (0, 1, 1), mode="nearest")
    dy, dx = np.gradient(smooth, axis=(1, 2))
    dyy, dyx = np.gradient(dy, axis=(1, 2))
    _, dxx = np.gradient(dx, axis=(1, 2))
    # The Hessian's eigenvector of strongest curvature points across: negative on a ridge, positive beside it.
    angle = 0.5 * np.arctan2(2 * dyx, dxx - dyy) + np.where(dxx + dyy < 0, np.pi / 2, 0)
    n, y, x = np.ix_(*map(np.arange, smooth.shape))
    keep = np.ones(smooth.shape, bool)
    for side in (-1, 1):
        at = np.broadcast_arrays(n, y + side * np.sin(angle), x + side * np.cos(angle))
        neighbour = ndimage.map_coordinates(smooth, at, order=1, mode="nearest")
        keep &= smooth * _SLACK >= neighbour
    return keep
