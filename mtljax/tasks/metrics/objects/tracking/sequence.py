"""A sequence's frames, as all figures of tracks read them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mtljax.errors import UserError
from mtljax.tasks.metrics.objects.overlap import box_overlap
from mtljax.tasks.metrics.objects.pairing import EPSILON, IOU, assigned


class Tracks(NamedTuple):
    """The objects of a sequence, or what was found there, one a row, in any order.

    Attributes:
        frame: (N,) integers.
        id: (N,) integers; none twice in a frame.
        box: (N, 4), [x, y, width, height] in pixels.
        ignored: (N,) bool, objects that are neither wanted nor wrong; None for none.
    """

    frame: np.ndarray
    id: np.ndarray
    box: np.ndarray
    ignored: np.ndarray | None = None


class Frame(NamedTuple):
    """A frame: ids counted from 0 within the sequence, and the overlaps of its objects and detections."""

    truth: np.ndarray
    found: np.ndarray
    overlap: np.ndarray


class Sequence(NamedTuple):
    """The frames in which there is anything, without what is ignored, and how many ids there are."""

    frames: tuple[Frame, ...]
    truths: int
    founds: int


def sequence(truth: Tracks, found: Tracks) -> Sequence:
    """The frames of a sequence.

    Of each frame, all objects and detections are assigned to each other (IoU of at least a half, greatest sum); a
    detection that is assigned to an ignored object is removed, and so are all ignored objects.

    Args:
        truth: the objects.
        found: the detections; boxes are finite.

    Raises:
        UserError: for an id that is twice in a frame.
    """
    for kind, tracks in (("objects", truth), ("tracks", found)):
        _once(tracks, kind)
    parts = list(_frames(truth, found))
    truths, founds = (np.unique(np.concatenate([np.zeros(0, int), *(part[i] for part in parts)])) for i in (0, 1))
    frames = tuple(Frame(np.searchsorted(truths, t), np.searchsorted(founds, f), overlap) for t, f, overlap in parts)
    return Sequence(frames, len(truths), len(founds))


def _frames(truth: Tracks, found: Tracks) -> Iterator[Frame]:
    """The frames, with ids as given."""
    ignored = np.zeros(len(truth.id), bool) if truth.ignored is None else np.asarray(truth.ignored, bool)
    every = np.unique(np.concatenate([truth.frame, found.frame]))
    orders = [np.argsort(tracks.frame, kind="stable") for tracks in (truth, found)]
    ends = [
        np.searchsorted(tracks.frame[order], every, "right")
        for tracks, order in zip((truth, found), orders, strict=True)
    ]
    for g, d in zip(*(np.split(order, end[:-1]) for order, end in zip(orders, ends, strict=True)), strict=True):
        overlap = box_overlap(found.box[d], truth.box[g][:, None])
        rows, columns = assigned(np.where(overlap >= IOU - EPSILON, overlap, 0.0))
        stays = np.ones(len(d), bool)
        stays[columns[ignored[g][rows]]] = False
        wanted = ~ignored[g]
        if wanted.any() or stays.any():
            yield Frame(truth.id[g[wanted]], found.id[d[stays]], overlap[wanted][:, stays])


def _once(tracks: Tracks, kind: str) -> None:
    pairs, number = np.unique(np.stack([tracks.frame, tracks.id], axis=1), axis=0, return_counts=True)
    if (number > 1).any():
        frame, one = pairs[number > 1][0]
        raise UserError(f"{kind}: id {one} is twice in frame {frame}; expected each id at most once in a frame.")
