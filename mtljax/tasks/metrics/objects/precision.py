"""Average precision and recall of a split, as COCO defines them."""

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np

from mtljax.tasks.metrics.objects.matching import Groups, match
from mtljax.tasks.metrics.objects.overlap import box_overlap

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of the IoU
RECALLS = np.linspace(0.0, 1.0, 101)
BEST = (1, 10, 100)  # detections of an image and class
AREAS = (32.0**2, 96.0**2)  # square pixels, where small ends and large begins


class Truth(NamedTuple):
    """The objects of a split, one a row.

    Attributes:
        image: (N,) integers; images count in their order.
        category: (N,) integers.
        shape: (N, ...), a box, or a packed mask: what the overlap reads.
        area: (N,), square pixels.
        crowd: (N,) bool, those that are neither wanted nor wrong.
    """

    image: np.ndarray
    category: np.ndarray
    shape: np.ndarray
    area: np.ndarray
    crowd: np.ndarray


class Found(NamedTuple):
    """The detections of a split, one a row; of one image and equal scores the first comes first.

    Attributes:
        image: (N,) integers.
        category: (N,) integers.
        shape: (N, ...), as the objects'.
        area: (N,), square pixels.
        score: (N,).
    """

    image: np.ndarray
    category: np.ndarray
    shape: np.ndarray
    area: np.ndarray
    score: np.ndarray


Rows = TypeVar("Rows", Truth, Found)


def precision_figures(
    truth: Truth, found: Found, overlap: Callable[..., np.ndarray] = box_overlap, areas: tuple[float, float] = AREAS
) -> dict[str, float]:
    """AP and AR of a split (COCO): means over IoUs of .5 to .95, 101 recalls, and the classes that have objects.

    By falling score a detection takes the free object that it overlaps most; one that takes an ignored object does not
    count, nor does one without an object that lies outside the range of areas.

    Args:
        truth: the objects.
        found: the detections; the best 100 of an image and class count.
        overlap: of shapes, pair by pair: `box_overlap` or `mask_overlap`.
        areas: square pixels up to which objects are small, and from which they are large.

    Returns:
        AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100, ARs, ARm, ARl, and AP/c and AP50/c of each category c that is
        named. NaN where there is no object to find; all are NaN where a score, an area or a box is no number.

    Example:
        >>> one, box = np.zeros(1, int), np.array([[0.0, 0.0, 9.0, 9.0]])
        >>> truth = Truth(one, one, box, np.array([81.0]), np.array([False]))
        >>> figures = precision_figures(truth, Found(one, one, box, np.array([81.0]), np.array([0.5])))
        >>> print(figures["AP"], figures["APl"])
        1.0 nan
    """
    categories = np.unique(np.concatenate([truth.category, found.category]))
    broken = not all(np.isfinite(x).all() for x in (found.score, found.area, found.shape))
    if broken:
        found = _taken(found, np.zeros(0, int))
    precision, recall = np.full((4, len(THRESHOLDS), len(RECALLS), len(categories)), np.nan), {}
    for best in BEST:
        recall[best] = np.full((4, len(THRESHOLDS), len(categories)), np.nan)
    for k, rows in enumerate(_curves(truth, found, categories, overlap, areas)):
        precision[..., k] = rows[0]
        for best in BEST:
            recall[best][..., k] = rows[1][best]
    figures = {name: _mean(precision[0, part]) for name, part in (("AP", slice(None)), ("AP50", 0), ("AP75", 5))}
    figures |= {f"AP{size}": _mean(precision[1 + i]) for i, size in enumerate("sml")}
    figures |= {f"AR{best}": _mean(recall[best][0]) for best in BEST}
    figures |= {f"AR{size}": _mean(recall[BEST[-1]][1 + i]) for i, size in enumerate("sml")}
    for k, category in enumerate(categories):
        figures |= {f"AP/{category}": _mean(precision[0, ..., k]), f"AP50/{category}": _mean(precision[0, 0, :, k])}
    return dict.fromkeys(figures, float("nan")) if broken else figures


def _curves(
    truth: Truth,
    found: Found,
    categories: np.ndarray,
    overlap: Callable[..., np.ndarray],
    areas: tuple[float, float],
) -> Iterator[tuple[np.ndarray, dict[int, np.ndarray]]]:
    """Of each category, precision (4, T, 101) and, for each number of best detections, recall (4, T)."""
    ranges = np.array([[0, 1e10], [0, areas[0]], [areas[0], areas[1]], [areas[1], 1e10]])
    truth = _taken(truth, np.lexsort((truth.image, truth.category)))
    found = _taken(found, np.lexsort((-found.score, found.image, found.category)))  # equal ones keep their order
    rank = _ranks(np.stack([found.category, found.image], axis=1))
    found, rank = _taken(found, rank < BEST[-1]), rank[rank < BEST[-1]]
    outside = (truth.area < ranges[:, :1]) | (truth.area > ranges[:, 1:])
    ignored = outside | truth.crowd
    taken, passed = _matched(truth, found, rank, ignored, overlap)
    away = (found.area < ranges[:, :1]) | (found.area > ranges[:, 1:])
    passed |= ~taken & away[:, None]
    for category in categories:
        own = found.category == category
        wanted = np.count_nonzero(~ignored[:, truth.category == category], axis=1)
        yield _of_class(found.score[own], rank[own], taken[..., own], passed[..., own], wanted)


def _of_class(
    score: np.ndarray, rank: np.ndarray, taken: np.ndarray, passed: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Precision and recalls of one category; NaN in the ranges of areas in which nothing is wanted.

    Args:
        score: (D,).
        rank: (D,), among the detections of the image.
        taken: (A, T, D) bool.
        passed: (A, T, D) bool, those that do not count.
        wanted: (A,), objects.
    """
    right, wrong = taken & ~passed, ~taken & ~passed
    some = np.where(wanted > 0, wanted, np.nan)[:, None]
    recalls = {best: np.count_nonzero(right & (rank < best), axis=2) / some for best in BEST}
    order = np.argsort(-score, kind="stable")
    true, false = (np.cumsum(x[..., order], axis=2, dtype=np.float64) for x in (right, wrong))
    precision = true / np.maximum(true + false, 1)
    precision = np.maximum.accumulate(precision[..., ::-1], axis=2)[..., ::-1]
    found = np.zeros((*taken.shape[:2], len(RECALLS)))
    for a, t in np.ndindex(*taken.shape[:2]):
        if wanted[a]:
            place = np.searchsorted(true[a, t] / wanted[a], RECALLS, side="left")
            inside = place < len(order)
            found[a, t, inside] = precision[a, t, place[inside]]
    return np.where(np.isnan(some)[..., None], np.nan, found), recalls


def _matched(
    truth: Truth, found: Found, rank: np.ndarray, ignored: np.ndarray, overlap: Callable[..., np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Which detections take an object, and which an ignored one: both (A, T, D) bool."""
    taken, passed = np.zeros((2, len(ignored), len(THRESHOLDS), len(found.score)), bool)
    keys = np.concatenate([np.stack([x.category, x.image], axis=1) for x in (truth, found)])
    _, groups = np.unique(keys, axis=0, return_inverse=True)
    of_truth, of_found = np.split(groups.reshape(-1), [len(truth.area)])
    size = np.bincount(of_truth, minlength=len(keys))
    begin = np.concatenate([[0], np.cumsum(size)])[:-1]
    length = np.bincount(of_found, minlength=len(keys))
    first = np.concatenate([[0], np.cumsum(length)])[:-1]
    both = (size > 0) & (length > 0)
    # Groups of about as many detections and objects go together, so that little is padded.
    kinds = np.ceil(np.log2(np.maximum([size, length], 1))).astype(int)
    for kind in np.unique(kinds[:, both], axis=1).T:
        own = np.flatnonzero(both & (kinds == kind[:, None]).all(axis=0))
        g, has_g = _padded(begin[own], size[own])
        d, has_d = _padded(first[own], length[own])
        n, i, j = np.nonzero(has_d[:, :, None] & has_g[:, None])
        shares = np.full((len(own), d.shape[1], g.shape[1]), -1.0)
        shares[n, i, j] = overlap(found.shape[d[n, i]], truth.shape[g[n, j]], truth.crowd[g[n, j]])
        parts = match(Groups(shares, truth.crowd[g], np.moveaxis(ignored[:, g], 0, 1)), THRESHOLDS)
        n, i = np.nonzero(has_d)
        for whole, part in zip((taken, passed), parts, strict=True):
            whole[:, :, d[n, i]] = np.moveaxis(part[n, :, :, i], 0, 2)
    return taken, passed


def _padded(begin: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows of each group, (N, longest), and which of them are its own."""
    step = np.arange(length.max())
    own = step < length[:, None]
    return np.where(own, begin[:, None] + step, 0), own


def _ranks(keys: np.ndarray) -> np.ndarray:
    """The place of each row among successive ones of the same key, (N, n) -> (N,)."""
    place = np.arange(len(keys))
    if not len(keys):
        return place
    new = np.concatenate([[True], (keys[1:] != keys[:-1]).any(axis=1)])
    return place - np.maximum.accumulate(np.where(new, place, 0))


def _taken(rows: Rows, which: np.ndarray) -> Rows:
    """Some rows of objects or detections, or all in another order."""
    return type(rows)(*(array[which] for array in rows))


def _mean(values: np.ndarray) -> float:
    """The mean of those that are numbers, NaN of none."""
    values = values[~np.isnan(values)]
    return float(np.mean(values)) if len(values) else float("nan")
