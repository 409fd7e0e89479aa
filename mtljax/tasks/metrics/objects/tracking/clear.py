"""MOTA and its parts: frame by frame, an object keeps the track that it had (CLEAR: Bernardin 2008)."""

import numpy as np

from mtljax.tasks.metrics.objects.pairing import EPSILON, IOU, assigned
from mtljax.tasks.metrics.objects.tracking.sequence import Sequence

_KEPT = 1000.0  # a match of the frame before outweighs any overlaps
MOSTLY, HARDLY = 0.8, 0.2  # shares of an object's frames

Counts = dict[str, float]


def clear_counts(sequence: Sequence) -> Counts:
    """What a sequence adds: matches, false and missed detections, switches, breaks, and how many objects were tracked.

    Matches of the frame before are kept while their IoU is at least a half; then the sum of IoU is greatest. A switch
    (IDSW) is told by the id that the object last had, however long ago; a break (Frag) where its matches stop and go
    on. A frame without objects or without detections is passed over: no track breaks there.
    """
    last, before = np.full((2, sequence.truths), -1)
    seen, matched, runs = np.zeros((3, sequence.truths))
    total: Counts = {name: 0.0 for name in ("TP", "FP", "FN", "IDSW", "overlap")}
    for frame in sequence.frames:
        seen[frame.truth] += 1
        if not len(frame.truth) or not len(frame.found):
            total["FN"] += len(frame.truth)
            total["FP"] += len(frame.found)
            continue
        score = frame.overlap + _KEPT * (before[frame.truth][:, None] == frame.found)
        g, d = assigned(np.where(frame.overlap >= IOU - EPSILON, score, 0.0))
        truth, found = frame.truth[g], frame.found[d]
        total["TP"] += len(g)
        total["FN"] += len(frame.truth) - len(g)
        total["FP"] += len(frame.found) - len(g)
        total["overlap"] += frame.overlap[g, d].sum()
        total["IDSW"] += np.count_nonzero((last[truth] >= 0) & (last[truth] != found))
        runs[truth[before[truth] < 0]] += 1
        matched[truth] += 1
        last[truth] = found
        before[:] = -1
        before[truth] = found
    share = matched / np.maximum(seen, 1)
    total["Frag"] = float(np.sum(np.maximum(runs - 1, 0)))
    total["MT"] = float(np.count_nonzero(share > MOSTLY))
    total["PT"] = float(np.count_nonzero((share >= HARDLY) & (share <= MOSTLY)))
    total["ML"] = float(np.count_nonzero(share < HARDLY))
    return total


def clear_figures(counts: Counts) -> dict[str, float]:
    """MOTA = 1 - (FN + FP + IDSW) / objects, MOTP (mean IoU of matches, 0 without any) and the counts themselves."""
    objects = counts["TP"] + counts["FN"]
    wrong = counts["FN"] + counts["FP"] + counts["IDSW"]
    figures = {
        "MOTA": 1 - wrong / objects if objects else float("nan"),
        "MOTP": counts["overlap"] / max(counts["TP"], 1.0),
    }
    return figures | {name: value for name, value in counts.items() if name != "overlap"}
