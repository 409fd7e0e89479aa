"""Motions between frames, gathered over a split, and the errors of the sequences that they make."""

from collections.abc import Callable, Iterator

import numpy as np

from mtljax.errors import UserError
from mtljax.geometry import align, chain
from mtljax.geometry.trajectories import pair_errors, position_errors, segment_errors, snippet_errors
from mtljax.tasks.labels import fits
from mtljax.tasks.task import Batch, Sums

INDEX = "frame_index"


def gathered(motions: np.ndarray, batch: Batch, label: str, longest: int) -> dict[str, np.ndarray]:
    """Sums that add over batches: a row for each place in the split, of its motion to the next frame.

    Args:
        motions: (B, s, 6), predicted.
        batch: with `label` (B, s, 6), `frame_index` (B, s) and their masks.
        label: batch key of the true motions.
        longest: number of rows.

    Returns:
        `predicted` and `true`, (longest, 6), and `seen` (longest,): how often each row was added to.

    Raises:
        UserError: for a place beyond the rows, or one within a clip that does not follow the one before.
    """
    fits(motions, np.asarray(batch[label]), label, 6)
    index, known = np.asarray(batch[INDEX]), np.asarray(batch[f"{INDEX}_valid"], bool)
    if index.shape != np.shape(batch[label])[:-1] or known.shape != index.shape:
        raise UserError(f"label {INDEX} has shape {index.shape}; expected {np.shape(batch[label])[:-1]}, by {label}.")
    steps, both = np.diff(index, axis=1), known[:, 1:] & known[:, :-1]
    if (both & (steps != 1)).any():
        clip, frame = np.argwhere(both & (steps != 1))[0]
        raise UserError(
            f"label {INDEX} goes from {index[clip, frame]} to {index[clip, frame + 1]} within a clip; odometry expects "
            "clips of consecutive frames."
        )
    valid = np.asarray(batch[f"{label}_valid"], bool)[..., 0] & known
    places = index[valid]
    if places.size and not 0 <= places.min() <= places.max() < longest:
        wrong = places.min() if places.min() < 0 else places.max()
        raise UserError(
            f"odometry(longest={longest}): label {INDEX} holds {wrong}; expected 0 to {longest - 1}. "
            "A larger `longest` takes a longer split."
        )
    sums = {key: np.zeros((longest, 6)) for key in ("predicted", "true")} | {"seen": np.zeros(longest)}
    np.add.at(sums["predicted"], places, np.asarray(motions, np.float64)[valid])
    np.add.at(sums["true"], places, np.asarray(batch[label], np.float64)[valid])
    np.add.at(sums["seen"], places, 1.0)
    return sums


def sequences(sums: Sums) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The estimated and the true trajectory of each run of consecutive rows that were seen.

    A row that was seen more than once has the mean of what was predicted for it.
    """
    seen = np.asarray(sums["seen"])
    rows = np.flatnonzero(seen > 0)
    if not len(rows):
        return
    for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
        estimate, truth = (chain(sums[key][run] / seen[run, None]) for key in ("predicted", "true"))
        yield estimate, truth


def ate(alignment: str) -> Callable[[Sums], float]:
    """The root mean square distance of all positions, each sequence aligned for itself."""
    pooled = _pooled(lambda p, g: position_errors(p, g, alignment) ** 2)
    return lambda sums: float(np.sqrt(pooled(sums)))


def rpe(part: int, scaled: bool) -> Callable[[Sums], float]:
    """The mean over all pairs of frames: part 0 in metres, 1 in degrees."""
    return _pooled(lambda p, g: pair_errors(align(p, g, scale=True) if scaled else p, g)[part])


def kitti(part: int, scaled: bool) -> Callable[[Sums], float]:
    """The mean over the segments of all sequences: part 0 in per cent, 1 in degrees per 100 m."""
    return _pooled(lambda p, g: segment_errors(align(p, g, scale=True) if scaled else p, g)[part])


def snippet_ate() -> Callable[[Sums], float]:
    """The mean over the snippets of all sequences."""
    return _pooled(snippet_errors)


def _pooled(errors: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[Sums], float]:
    """The mean of all sequences' errors; NaN where there are none, or a prediction is not finite."""

    def value(sums: Sums) -> float:
        if not np.isfinite(sums["predicted"]).all():
            return float("nan")
        found = [errors(estimate, truth) for estimate, truth in sequences(sums)]
        every = np.concatenate(found) if found else np.zeros(0)
        return float(np.mean(every)) if len(every) else float("nan")

    return value
