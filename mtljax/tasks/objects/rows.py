"""From batches of clips to rows: objects frame by frame in NumPy, and clips that go on where another ends."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from mtljax.errors import UserError
from mtljax.objects.frames import Objects, in_frames
from mtljax.tasks.task import PLACE, Batch

INDEX, SEQUENCE = "frame_index", "sequence"
BESIDE = ("objects", "segmentations", INDEX, SEQUENCE)  # labels that tasks of objects read where they are there
FRAME = "frame"  # of its clip, from 0
_LONGEST = 2**20  # frames that no clip has
CLIPS = "clips"  # the table of all clips, which tells those that go on from another
_READ = ("instances", "instances_valid", "objects_valid", "segmentations")

Table = Mapping[str, np.ndarray]


@functools.partial(jax.jit, static_argnums=(1, 2))
def _in_pixels(labels: Any, size: tuple[int, int], least: int) -> Objects:
    frames = labels["instances"]["bboxes"].shape[2]
    return in_frames({**labels, "image": np.zeros((1, frames, *size, 0), np.float32)}, 1, least)


class Listed(NamedTuple):
    """The objects of a batch frame by frame, as `mtljax.objects.frames.Objects` has them, in NumPy.

    Boxes are in pixels. Positions, quaternions and half sizes are NaN where the batch has none.
    """

    boxes: np.ndarray
    category: np.ndarray
    counts: np.ndarray
    ignored: np.ndarray
    labelled: np.ndarray
    pixels: np.ndarray
    positions: np.ndarray
    quaternions: np.ndarray
    half_sizes: np.ndarray


def objects_of(batch: Batch, least: int) -> Listed:
    """The objects of a batch; those count that are seen in `least` pixels."""
    labels = {key: batch[key] for key in _READ if key in batch}
    height, width = batch["image"].shape[-3:-1]
    found = _in_pixels(labels, (height, width), least)._asdict()
    lengths = {"positions": 3, "quaternions": 4, "half_sizes": 3}
    none = {key: np.full((*found["counts"].shape, n), np.nan) for key, n in lengths.items() if found[key] is None}
    return Listed(**{key: np.asarray(x) for key, x in {**found, **none}.items()})


def check_limits(task: str, least: int, areas: tuple[float, float] = (0.0, 0.0)) -> None:
    """Raises a `UserError` for numbers of pixels that leave no object, or no area, where it belongs.

    Args:
        task: as it is called.
        least: pixels in which an object must be seen to count.
        areas: up to which objects are small, and from which they are large.
    """
    if least < 0:
        raise UserError(f"{task}(least={least}): expected at least 0 pixels.")
    if not 0 <= areas[0] <= areas[1]:
        raise UserError(f"{task}(areas={areas}): expected that up to which objects are small, then that of large ones.")


def check_categories(batch: Batch, classes: int, known: str) -> None:
    """Raises a `UserError` for an object of a class that there is not.

    Args:
        batch: with `instances` and `instances_valid`.
        classes: C; objects are of 1 to C.
        known: who knows how many, for the message.
    """
    category = np.asarray(batch["instances"]["category"])
    wrong = np.asarray(batch["instances_valid"], bool) & ((category < 1) | (category > classes))
    if wrong.any():
        example, which = np.argwhere(wrong)[0]
        where = f"example {batch[PLACE][example]} of the split" if PLACE in batch else f"example {example} of the batch"
        raise UserError(f"category {category[example, which]} in 'instances' of {where}; {known} 1 to {classes}.")


def rows_where(which: np.ndarray, batch: Batch, **columns: np.ndarray) -> dict[str, np.ndarray]:
    """A table of some slots or objects, with the place of their clips and their frames in these.

    Args:
        which: (B, s, N) bool.
        batch: with `place`.
        columns: (B, s, N, ...) each.
    """
    clip, frame, _ = np.nonzero(which)
    return {PLACE: np.asarray(batch[PLACE])[clip], FRAME: frame, **{key: x[which] for key, x in columns.items()}}


def clips_of(batch: Batch) -> dict[str, np.ndarray]:
    """A row a clip: its sequence, and the places of its first and last frame in the split, -1 where not known."""
    place = np.asarray(batch[PLACE])
    index = np.asarray(batch.get(INDEX, np.full((len(place), 1), -1)))
    known = np.asarray(batch.get(f"{INDEX}_valid", index >= 0), bool)
    index = np.where(known, index, -1)
    sequence = np.asarray(batch.get(SEQUENCE, np.zeros(len(place), np.int32)))
    return {PLACE: place, "first": index[:, 0], "last": index[:, -1], SEQUENCE: sequence.reshape(-1)}


def shared(clips: Table) -> np.ndarray:
    """Of each clip, how many of its first frames the clip before it in the split shows, too.

    Example:
        >>> clips = {"place": np.arange(4), "first": np.array([0, 3, 5, 12]), "last": np.array([3, 6, 8, 15])}
        >>> print(shared({**clips, "sequence": np.zeros(4)}))
        [0 1 2 0]
    """
    first, last = clips["first"], clips["last"]
    same = clips[SEQUENCE][1:] == clips[SEQUENCE][:-1]
    next_one = clips[PLACE][1:] == clips[PLACE][:-1] + 1
    later = (first[1:] > first[:-1]) & (last[1:] > last[:-1]) & (first[:-1] >= 0)
    met = (first[1:] <= last[:-1]) & same & next_one & later
    return np.concatenate([[0], np.where(met, last[:-1] - first[1:] + 1, 0)])[: len(first)]


def once(table: Table, clips: Table, judged: Table | None = None) -> dict[str, np.ndarray]:
    """The rows of a table, those of a frame that several clips show from the first of them alone; and their `image`.

    An image's number is one in the split.

    Args:
        table: with `place` and `frame`.
        clips: as `clips_of` has them.
        judged: rows of the frames that clips judge, of a task that does not judge all: one counts as of the first clip
            that judges it.
    """
    before = shared(clips)
    which = np.searchsorted(clips[PLACE], table[PLACE])
    kept = table[FRAME] >= before[which]
    if judged is not None:
        begins, at = np.cumsum(before == 0), np.searchsorted(clips[PLACE], judged[PLACE])
        frames = np.stack([begins[at], clips["first"][at] + judged[FRAME], judged[PLACE]], axis=1)
        _, firsts = np.unique(frames[:, :2], axis=0, return_index=True)
        wanted = {tuple(row) for row in frames[firsts].tolist()}
        own = np.stack([begins[which], clips["first"][which] + table[FRAME], table[PLACE]], axis=1)
        kept = np.array([tuple(row) in wanted for row in own.tolist()], bool)
    found = {key: column[kept] for key, column in table.items()}
    return found | {"image": found[PLACE].astype(np.int64) * _LONGEST + found[FRAME]}
