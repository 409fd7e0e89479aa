"""IDF1: how much of the objects and tracks one assignment of whole tracks explains (Ristani 2016)."""

import numpy as np

from mtljax.tasks.metrics.objects.pairing import IOU, assigned
from mtljax.tasks.metrics.objects.tracking.sequence import Sequence

Counts = dict[str, float]


def identity_counts(sequence: Sequence) -> Counts:
    """IDTP, IDFP and IDFN of a sequence: frames in which an object and the track assigned to it overlap by a half."""
    together = np.zeros((sequence.truths, sequence.founds))
    objects = detections = 0
    for frame in sequence.frames:
        objects, detections = objects + len(frame.truth), detections + len(frame.found)
        g, d = np.nonzero(frame.overlap >= IOU)
        together[frame.truth[g], frame.found[d]] += 1
    right = float(together[assigned(together)].sum())
    return {"IDTP": right, "IDFP": detections - right, "IDFN": objects - right}


def identity_figures(counts: Counts) -> dict[str, float]:
    """IDF1, IDP and IDR (0 where nothing was found), and the counts themselves."""
    right, false, missed = counts["IDTP"], counts["IDFP"], counts["IDFN"]
    return {
        "IDF1": right / max(right + false / 2 + missed / 2, 1.0),
        "IDP": right / max(right + false, 1.0),
        "IDR": right / max(right + missed, 1.0),
        **counts,
    }
