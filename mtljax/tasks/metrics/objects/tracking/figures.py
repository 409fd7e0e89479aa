"""All figures of tracks at once, of one sequence or of several pooled."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from mtljax.tasks.metrics.objects.tracking.clear import clear_counts, clear_figures
from mtljax.tasks.metrics.objects.tracking.hota import hota_counts, hota_figures
from mtljax.tasks.metrics.objects.tracking.identity import identity_counts, identity_figures
from mtljax.tasks.metrics.objects.tracking.sequence import Sequence, Tracks, sequence

_PARTS = ((clear_counts, clear_figures), (identity_counts, identity_figures), (hota_counts, hota_figures))
COUNTS = frozenset({"TP", "FP", "FN", "IDSW", "Frag", "MT", "PT", "ML", "IDTP", "IDFP", "IDFN"})


def tracking_figures(sequences: Iterable[tuple[Tracks, Tracks]]) -> dict[str, float]:
    """MOTA, IDF1, HOTA and their parts; counts of the sequences are added up first.

    Args:
        sequences: objects and tracks of each.

    Returns:
        The figures of `clear_figures`, `identity_figures` and `hota_figures`. Where there is no object to be found all
        but the counts are NaN; where a box is no number all are.

    Raises:
        UserError: for an id that is twice in a frame.

    Example:
        >>> tracks = Tracks(np.array([1, 2]), np.array([5, 5]), np.array([[0.0, 0, 4, 4], [1.0, 0, 4, 4]]))
        >>> figures = tracking_figures([(tracks, tracks._replace(id=np.array([1, 2])))])
        >>> print(figures["MOTA"], figures["IDF1"], figures["IDSW"])
        0.5 0.5 1.0
    """
    pairs = list(sequences)
    finite = all(np.isfinite(found.box).all() for _, found in pairs)
    empty = Tracks(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 4)))
    read = [sequence(truth, found if finite else empty) for truth, found in pairs] or [Sequence((), 0, 0)]
    figures: dict[str, float] = {}
    for count, value in _PARTS:
        figures |= value(_added([count(one) for one in read]))
    objects = any(len(frame.truth) for one in read for frame in one.frames)
    kept = figures.keys() if objects else COUNTS
    return {name: value if finite and name in kept else float("nan") for name, value in figures.items()}


def _added(counts: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: sum(one[name] for one in counts) for name in counts[0]}
