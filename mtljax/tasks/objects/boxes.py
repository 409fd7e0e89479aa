"""The boxes that a training set has most often: what can be said of an image without looking at it."""

import numpy as np

from mtljax.tasks.objects.rows import objects_of
from mtljax.tasks.task import Batch

CLUSTERS = 25
_ROUNDS = 50


def clustered(labels: Batch, classes: int, least: int) -> tuple[np.ndarray, np.ndarray]:
    """The middles of 25 clusters of the boxes of a training set, and the shares of the classes in each.

    Args:
        labels: a batch of training examples.
        classes: C.
        least: pixels in which an object that counts is seen.

    Returns:
        Boxes (25, 4), [x0, y0, x1, y1] in pixels, and shares (25, C) float32, which are 0 where a cluster has no box.
    """
    objects = objects_of(labels, least)
    boxes, category = objects.boxes[objects.counts], objects.category[objects.counts]
    middles, own = k_means(boxes.astype(np.float64), CLUSTERS)
    counts = np.zeros((CLUSTERS, classes))
    known = category < classes
    np.add.at(counts, (own[known], category[known]), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return middles.astype(np.float32), shares.astype(np.float32)


def k_means(points: np.ndarray, clusters: int, rounds: int = _ROUNDS) -> tuple[np.ndarray, np.ndarray]:
    """Lloyd's algorithm from points that are evenly spread over the order of their coordinates' sum: no chance in it.

    Args:
        points: (N, D).
        clusters: how many.
        rounds: at most.

    Returns:
        Middles (clusters, D), zeros where there are fewer points, and the cluster of each point, (N,).

    Example:
        >>> middles, own = k_means(np.array([[0.0], [1.0], [9.0], [11.0]]), 2)
        >>> print(middles.ravel(), own)
        [ 0.5 10. ] [0 0 1 1]
    """
    number = min(clusters, len(points))
    middles = np.zeros((clusters, points.shape[1]))
    own = np.zeros(len(points), int)
    if not number:
        return middles, own
    order = np.argsort(points.sum(axis=1), kind="stable")
    middles[:number] = points[order[((np.arange(number) + 0.5) * len(points) / number).astype(int)]]
    for _ in range(rounds):
        before = own
        own = np.argmin(((points[:, None] - middles[None, :number]) ** 2).sum(axis=2), axis=1)
        for k in np.unique(own):
            middles[k] = points[own == k].mean(axis=0)
        if np.array_equal(own, before):
            break
    return middles, own
