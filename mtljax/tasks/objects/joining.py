"""Sequences of tracks from clips: those that share a frame with the next one are joined, and so are their ids."""

from collections.abc import Iterator

import numpy as np

from mtljax.tasks.metrics.objects.tracking.sequence import Tracks
from mtljax.tasks.objects.rows import FRAME, Table, going_on
from mtljax.tasks.task import PLACE

_ROUNDING = 1e-3  # pixels, of one frame that is read in two batches


def sequences(truth: Table, found: Table, clips: Table) -> Iterator[tuple[Tracks, Tracks]]:
    """The objects and the tracks of each sequence: a clip, or clips that each go on from the last frame of another.

    Objects keep their ids from clip to clip, if `instances` has them. A track goes on as the one that has the same box
    in the frame that two clips share, one for one; the others begin anew.

    Args:
        truth: rows of objects, with `place`, `frame` (within its clip), `id`, `box` and `ignored`.
        found: rows of tracks, with `place`, `frame`, `id` and `box`.
        clips: as `rows.clips_of` has them.
    """
    true_ends, found_ends = (np.searchsorted(table[PLACE], clips[PLACE], "right") for table in (truth, found))
    begins = np.flatnonzero(~np.isin(clips[PLACE], going_on(clips)))
    for first, last in zip(begins, np.append(begins[1:], len(clips[PLACE])), strict=True):
        span = range(first, last)
        parts = [(_part(truth, true_ends, i), _part(found, found_ends, i)) for i in span]
        lengths = [int(clips["last"][i] - clips["first"][i]) for i in span]
        yield (
            _joined([part[0] for part in parts], lengths, renamed=False),
            _joined([part[1] for part in parts], lengths, renamed=True),
        )


def _part(table: Table, ends: np.ndarray, clip: int) -> dict[str, np.ndarray]:
    begin = ends[clip - 1] if clip else 0
    return {key: column[begin : ends[clip]] for key, column in table.items()}


def _joined(parts: list[dict[str, np.ndarray]], lengths: list[int], *, renamed: bool) -> Tracks:
    """Clips one behind the other, the shared frames once.

    Args:
        parts: the rows of each clip.
        lengths: of the clips: how many frames the next one begins later.
        renamed: whether ids are of their clip alone.
    """
    whole, start, highest, before = [], 0, 0, None
    for number, (part, length) in enumerate(zip(parts, lengths, strict=True)):
        ids, frame = part["id"].astype(np.int64), part[FRAME]
        if renamed:
            ids = _named_on(part, ids, before, highest)
            highest = max(highest, int(ids.max(initial=0)))
        before = {"box": part["box"][frame == length], "id": ids[frame == length]}
        kept = (frame > 0) | (number == 0)
        ignored = part.get("ignored", np.zeros(len(frame), bool))
        whole.append(Tracks((frame + start)[kept], ids[kept], part["box"][kept], ignored[kept]))
        start += length
    return Tracks(*(np.concatenate(columns) for columns in zip(*whole, strict=True)))


def _named_on(
    part: dict[str, np.ndarray], ids: np.ndarray, before: dict[str, np.ndarray] | None, highest: int
) -> np.ndarray:
    """A clip's ids, as those of the clip before where a box of the shared frame is the same; else new ones."""
    names = {int(one): highest + 1 + i for i, one in enumerate(np.unique(ids))}
    if before is not None:
        first = part[FRAME] == 0
        here, there = same_boxes(part["box"][first], before["box"], _ROUNDING)
        names |= dict(zip(ids[first][here].tolist(), before["id"][there].tolist(), strict=True))
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
