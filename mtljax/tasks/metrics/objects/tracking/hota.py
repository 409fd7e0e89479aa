"""HOTA: how well objects are found, and how well each match's whole tracks agree (Luiten 2021)."""

import numpy as np

from mtljax.tasks.metrics.objects.pairing import EPSILON, assigned
from mtljax.tasks.metrics.objects.tracking.sequence import Sequence

ALPHAS = np.arange(0.05, 0.99, 0.05)  # IoU from which on a pair may match: .05 to .95

Counts = dict[str, np.ndarray]


def hota_counts(sequence: Sequence) -> Counts:
    """What a sequence adds at each of the 19 overlaps: TP, FP, FN, and sums over matches of overlap and association.

    In each frame objects and detections are assigned by overlap times how much their whole tracks agree.
    """
    seen, told, together = _agreement(sequence)
    agree = together / np.maximum(seen[:, None] + told - together, EPSILON)
    right, missed, false, overlap = np.zeros((4, len(ALPHAS)))
    matches = np.zeros((len(ALPHAS), sequence.truths, sequence.founds))
    for frame in sequence.frames:
        g, d = assigned(agree[frame.truth[:, None], frame.found] * frame.overlap)
        near = frame.overlap[g, d] >= ALPHAS[:, None] - EPSILON
        number = near.sum(axis=1)
        right += number
        missed += len(frame.truth) - number
        false += len(frame.found) - number
        overlap += (frame.overlap[g, d] * near).sum(axis=1)
        matches[:, frame.truth[g], frame.found[d]] += near
    squares, either = matches**2, seen[:, None] + told - matches
    return {
        "TP": right,
        "FN": missed,
        "FP": false,
        "overlap": overlap,
        "both": (squares / np.maximum(either, 1)).sum(axis=(1, 2)),
        "of truth": (squares / np.maximum(seen[:, None], 1)).sum(axis=(1, 2)),
        "of found": (squares / np.maximum(told, 1)).sum(axis=(1, 2)),
    }


def hota_figures(counts: Counts) -> dict[str, float]:
    """HOTA = the mean over overlaps of sqrt(DetA AssA); DetA, DetRe, DetPr, AssA, AssRe, AssPr and LocA, means alike.

    LocA is the mean overlap of matches, 1 at overlaps at which there is none.
    """
    right, missed, false = counts["TP"], counts["FN"], counts["FP"]
    matches = np.maximum(right, 1)
    each = {
        "DetA": right / np.maximum(right + missed + false, 1),
        "DetRe": right / np.maximum(right + missed, 1),
        "DetPr": right / np.maximum(right + false, 1),
        "AssA": counts["both"] / matches,
        "AssRe": counts["of truth"] / matches,
        "AssPr": counts["of found"] / matches,
        "LocA": np.where(right > 0, counts["overlap"] / matches, 1.0),
    }
    each["HOTA"] = np.sqrt(each["DetA"] * each["AssA"])
    return {name: float(np.mean(values)) for name, values in each.items()}


def _agreement(sequence: Sequence) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames of each object and of each track, and the sum of what each pair has of each other's overlaps."""
    seen, told = np.zeros(sequence.truths), np.zeros(sequence.founds)
    together = np.zeros((sequence.truths, sequence.founds))
    for frame in sequence.frames:
        s = frame.overlap
        whole = s.sum(axis=0) + s.sum(axis=1, keepdims=True) - s
        share = np.divide(s, whole, out=np.zeros(s.shape), where=whole > EPSILON)
        together[frame.truth[:, None], frame.found] += share
        seen[frame.truth] += 1
        told[frame.found] += 1
    return seen, told, together
