"""Sequences of tracks from clips: those that share frames with the next one are joined, and so are their ids."""

from collections.abc import Iterator

import numpy as np

from mtljax.tasks.metrics.objects.tracking.sequence import Tracks
from mtljax.tasks.objects.rows import FRAME, Table, shared
from mtljax.tasks.task import PLACE

_ROUNDING = 1e-3  # pixels, of one frame that is read in two batches


def sequences(truth: Table, found: Table, clips: Table) -> Iterator[tuple[Tracks, Tracks]]:
    """The objects and the tracks of each sequence: a clip, or clips each of which begins within the one before.

    Objects keep their ids from clip to clip, if `instances` has them. A track goes on as the one that has the same box
    in the last frame that two clips share, one for one; the others begin anew. What the second of them says of the
    frames that they share is left out.

    Args:
        truth: rows of objects, with `place`, `frame` (within its clip), `id`, `box` and `ignored`.
        found: rows of tracks, with `place`, `frame`, `id` and `box`.
        clips: as `rows.clips_of` has them.
    """
    true_ends, found_ends = (np.searchsorted(table[PLACE], clips[PLACE], "right") for table in (truth, found))
    before = shared(clips)
    begins = np.flatnonzero(before == 0)
    for first, last in zip(begins, np.append(begins[1:], len(clips[PLACE])), strict=True):
        span = range(first, last)
        parts = [(_part(truth, true_ends, i), _part(found, found_ends, i)) for i in span]
        lasts = [int(clips["last"][i] - clips["first"][i]) for i in span]
        yield (
            _joined([part[0] for part in parts], lasts, before[first:last].tolist(), renamed=False),
            _joined([part[1] for part in parts], lasts, before[first:last].tolist(), renamed=True),
        )


def _part(table: Table, ends: np.ndarray, clip: int) -> dict[str, np.ndarray]:
    begin = ends[clip - 1] if clip else 0
    return {key: column[begin : ends[clip]] for key, column in table.items()}


def _joined(parts: list[dict[str, np.ndarray]], lasts: list[int], common: list[int], *, renamed: bool) -> Tracks:
    """Clips one behind the other, the shared frames once.

    Args:
        parts: the rows of each clip.
        lasts: the last frame of each clip, within it.
        common: how many of its first frames the clip before has.
        renamed: whether ids are of their clip alone.
    """
    whole, end, highest, before = [], -1, 0, None
    for part, last, number in zip(parts, lasts, common, strict=True):
        ids, frame = part["id"].astype(np.int64), part[FRAME]
        if renamed:
            ids = _named_on(part, ids, before, number - 1, highest)
            highest = max(highest, int(ids.max(initial=0)))
        before = {"box": part["box"][frame == last], "id": ids[frame == last]}
        start, kept = end + 1 - number, frame >= number
        ignored = part.get("ignored", np.zeros(len(frame), bool))
        whole.append(Tracks((frame + start)[kept], ids[kept], part["box"][kept], ignored[kept]))
        end = start + last
    return Tracks(*(np.concatenate(columns) for columns in zip(*whole, strict=True)))


def _named_on(
    part: dict[str, np.ndarray], ids: np.ndarray, before: dict[str, np.ndarray] | None, frame: int, highest: int
) -> np.ndarray:
    """A clip's ids, as those of the clip before where a box of its last frame is one of this frame; else new ones."""
    names = {int(one): highest + 1 + i for i, one in enumerate(np.unique(ids))}
    if before is not None:
        at = part[FRAME] == frame
        here, there = same_boxes(part["box"][at], before["box"], _ROUNDING)
        names |= dict(zip(ids[at][here].tolist(), before["id"][there].tolist(), strict=True))
    return np.array([names[int(one)] for one in ids], np.int64)


def same_boxes(boxes: np.ndarray, others: np.ndarray, within: float) -> tuple[list[int], list[int]]:
    """Places of boxes (N, 4), and those of their like among others (M, 4), one for one: the first that is free.

    Example:
        >>> twice = np.ones((2, 4))
        >>> same_boxes(np.stack([np.zeros(4), np.ones(4)]), twice, 0.1), same_boxes(twice, twice + 0.01, 0.1)
        (([1], [0]), ([0, 1], [0, 1]))
    """
    here: list[int] = []
    there: list[int] = []
    near = np.abs(boxes[:, None] - others).max(axis=-1, initial=0) <= within
    for place, row in enumerate(near):
        free = [other for other in np.flatnonzero(row).tolist() if other not in there]
        if free:
            here.append(place)
            there.append(free[0])
    return here, there
