"""What a run logged as it went, thinned while it is read: losses, metrics, task weights, cosines."""

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

METRICS_FILE = "metrics.jsonl"
NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)  # errors of a file that is none
POINTS = 200  # of a curve, at most
_EACH, _IN_ALL = 5, 60_000  # logged steps that a point is the mean of, at most; and lines to parse of all runs
_CHUNK = 1 << 22  # bytes that are looked through at once
_OTHERS = (b'"split": "validation"', b'"split": "constant"')  # lines that are no training steps
_COSINE, _WEIGHT = "balance/cosine/", "balance/weight/"
_NOT_DRAWN = ("step", "split", "time")

Series = Mapping[str, np.ndarray]  # "step" and figures, each (points,); NaN where one was not logged, or not finite


@dataclasses.dataclass(frozen=True)
class Curves:
    """What a run logged.

    Attributes:
        train: of training steps; a point is the mean of some logged steps where more than `POINTS` were logged.
        validation: of evaluations, all of them.
        conflicts: pair of tasks, as `a/b` -> (logged steps with a cosine below 0, logged steps with a finite cosine).
        logged: training steps that were logged.
        read: of these, the ones that were read: evenly spread.
    """

    train: Series
    validation: Series
    conflicts: Mapping[str, tuple[int, int]]
    logged: int = 0
    read: int = 0

    def weights(self) -> dict[str, np.ndarray]:
        """Task -> its weight at each point of `train`."""
        return _named(self.train, _WEIGHT)

    def cosines(self) -> dict[str, np.ndarray]:
        """Pair of tasks, as `a/b` -> the cosine of their gradients at each point of `train`."""
        return _named(self.train, _COSINE)


def each_of(runs: int) -> int:
    """How many logged steps a point is the mean of, so that many runs are read as fast as few.

    Example:
        >>> each_of(15), each_of(200)
        (5, 1)
    """
    return max(1, min(_EACH, _IN_ALL // (max(runs, 1) * POINTS)))


def read_curves(folder: pathlib.Path | None, points: int = POINTS, each: int = _EACH) -> Curves:
    """Reads `metrics.jsonl` of a run; nothing where it has none.

    Only the lines that a point needs are parsed. A line that a run is about to
    write, or was killed at, is left out.

    Args:
        folder: of the run; None for none.
        points: at most, of a curve of training.
        each: logged steps that a point is the mean of, at most.
    """
    try:
        file = None if folder is None else (folder / METRICS_FILE).open("rb")
    except NOT_THERE:
        file = None
    if file is None:
        return Curves({}, {}, {})
    rows, numbers = [], []
    with file as lines:  # opened once: a run that begins anew may take it away meanwhile
        starts, validation = _index(lines)
        bins, chosen = _chosen(len(starts), points, each)
        for number in chosen:
            lines.seek(starts[number])
            row = _loaded(lines.readline())
            if row is not None and row.get("split") == "train":
                rows.append(row)
                numbers.append(number)
    every = _columns(rows)
    evaluated = [row for row in map(_loaded, validation) if row is not None and row.get("split") == "validation"]
    return Curves(_means(every, numbers, bins), _columns(evaluated), _conflicts(every), len(starts), len(rows))


def _index(lines: BinaryIO) -> tuple[np.ndarray, list[bytes]]:
    """Where the lines of training begin, and the other lines, which are few."""
    starts: list[np.ndarray] = []
    others: list[bytes] = []
    before = 0
    while chunk := lines.read(_CHUNK):
        chunk += lines.readline()
        ends = np.flatnonzero(np.frombuffer(chunk, np.uint8) == ord("\n"))
        first = np.concatenate([[0], ends + 1])
        first = first[first < len(chunk)]
        which = sorted({int(np.searchsorted(first, at, side="right")) - 1 for at in _places(chunk)})
        others += [chunk[first[i] :].partition(b"\n")[0] for i in which]
        starts.append(before + np.delete(first, which))
        before += len(chunk)
    return np.concatenate(starts) if starts else np.zeros(0, int), others


def _places(chunk: bytes) -> Iterator[int]:
    for mark in _OTHERS:
        at = chunk.find(mark)
        while at >= 0:
            yield at
            at = chunk.find(mark, at + 1)


def _chosen(logged: int, points: int, each: int) -> tuple[np.ndarray, list[int]]:
    """The first line of each point, and the lines to parse: up to `each` of each point."""
    number = max(1, min(logged, points))
    bins = np.linspace(0, logged, number + 1).astype(int)
    chosen: list[int] = []
    for begin, end in itertools.pairwise(bins):
        chosen += sorted({int(i) for i in np.linspace(begin, end - 1, min(each, end - begin)).round()})
    return bins, chosen


def _loaded(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None  # the last line of a run that was killed while it wrote
    return found if isinstance(found, dict) and "step" in found else None


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Figure -> its value in each row; NaN where it is null or not there."""
    keys = {key: None for row in rows for key in row if key == "step" or key not in _NOT_DRAWN}
    table = np.array([[row.get(key) for key in keys] for row in rows], np.float64).reshape(len(rows), len(keys))
    return dict(zip(keys, table.T, strict=True))


def _means(every: Series, numbers: Sequence[int], bins: np.ndarray) -> dict[str, np.ndarray]:
    """Of each figure at each point, over its lines in which it is finite."""
    if not numbers:
        return {}
    places = np.searchsorted(bins, numbers, side="right")
    first = np.flatnonzero(np.diff(places, prepend=-1))
    found = {}
    for key, values in every.items():
        finite = np.isfinite(values)
        counts = np.add.reduceat(finite.astype(int), first)
        sums = np.add.reduceat(np.where(finite, values, 0), first)
        found[key] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return found


def _conflicts(every: Series) -> dict[str, tuple[int, int]]:
    found = {}
    for pair, values in _named(every, _COSINE).items():
        finite = values[np.isfinite(values)]
        if finite.size:
            found[pair] = (int((finite < 0).sum()), int(finite.size))
    return found


def _named(series: Series, prefix: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(prefix): values for key, values in series.items() if key.startswith(prefix)}


@dataclasses.dataclass(frozen=True)
class Band:
    """A figure of several seeds along a common axis.

    Attributes:
        x: steps, or seconds.
        mean: over the seeds that have the point.
        low: the least of them.
        high: the greatest.
        seeds: how many seeds there are.
    """

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    seeds: int


def band(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> Band | None:
    """Mean and range of curves (x, y) over seeds, each between its own first and last point; None where there is none.

    A curve whose points lie elsewhere is read between its points, along the points of the longest one.

    Args:
        curves: of each seed: x (points,) increasing, and y (points,), where NaN is left out.

    Example:
        >>> import numpy as np
        >>> steps = np.array([10.0, 20.0])
        >>> found = band([(steps, np.array([1.0, 2.0])), (steps, np.array([3.0, 2.0]))])
        >>> print(found.mean, found.low, found.high)
        [2. 2.] [1. 2.] [3. 2.]
    """
    finite = [(x[np.isfinite(y)], y[np.isfinite(y)]) for x, y in curves]
    finite = [(x, y) for x, y in finite if len(x)]
    if not finite:
        return None
    axis = max((x for x, _ in finite), key=lambda x: (len(x), x[-1]))
    rows = np.stack([np.interp(axis, x, y, left=np.nan, right=np.nan) for x, y in finite])
    there = np.isfinite(rows)
    axis, rows, there = axis[there.any(0)], rows[:, there.any(0)], there[:, there.any(0)]
    mean = np.where(there, rows, 0).sum(0) / there.sum(0)
    return Band(axis, mean, np.where(there, rows, np.inf).min(0), np.where(there, rows, -np.inf).max(0), len(finite))
