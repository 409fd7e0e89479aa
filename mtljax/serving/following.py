"""What goes on from one clip of a video to the next: the frames that both have, and by them the ids of tracks."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtljax.serving.network import Network
from mtljax.serving.objects import OBJECTS, has_map
from mtljax.tasks.objects.joining import same_boxes

SHARED = 1  # frames that clips have in common, where somebody is followed, or a frame is compared with the next
_NEAR = 0.5  # pixels of the network's image by which a box may differ that is seen twice

Frames = dict[pathlib.Path, tuple[np.ndarray, np.ndarray]]  # of a clip: boxes (K, 4) and ids (K,)


def shared(network: Network) -> int:
    """How many frames clips of a video must have in common.

    One, where a task that is asked gives ids, or looks ahead.
    """
    follows = any(network.tasks[name].kind == OBJECTS for name in network.comparing)
    return SHARED if follows or network.looking_ahead else 0


class Following:
    """Names tracks as those of the clip before, whose boxes they have in the frames that both clips have.

    As evaluation joins the clips of a sequence: a track without a box there begins anew. Ids of a folder count from 1.
    """

    def __init__(self) -> None:
        self._before: dict[str, Frames] = {}
        self._last: dict[tuple[str, pathlib.Path], int] = {}

    def named(self, files: Sequence[pathlib.Path], prediction: Mapping[str, Any]) -> dict[str, Any]:
        """A clip's predictions, with ids of the whole video.

        Args:
            files: of its frames; those that the clip before had too are known again.
            prediction: task -> decoded prediction of the clip, without a batch axis.
        """
        return {name: self._task(name, files, found) for name, found in prediction.items()}

    def _task(self, name: str, files: Sequence[pathlib.Path], found: Any) -> Any:
        if not isinstance(found, Mapping) or not {"ids", "boxes"} <= set(found) or has_map(found):
            return found
        key = name, files[0].parent
        ids, self._last[key] = _going_on(
            files, found["boxes"], found["ids"], self._before.get(name, {}), self._last.get(key, 0)
        )
        self._before[name] = dict(zip(files, zip(found["boxes"], ids, strict=True), strict=True))
        return {**found, "ids": ids}


def _going_on(
    files: Sequence[pathlib.Path], boxes: np.ndarray, ids: np.ndarray, before: Frames, last: int
) -> tuple[np.ndarray, int]:
    """The ids (s, K) of a clip as they were in the clip before, new ones from `last` on; and the last id given."""
    names: dict[int, int] = {}
    for frame, there, known in reversed([(i, *before[one]) for i, one in enumerate(files) if one in before]):
        own, of_before = np.flatnonzero(ids[frame] > 0), np.flatnonzero(known > 0)
        here, like = same_boxes(boxes[frame][own], there[of_before], _NEAR)
        for one, name in zip(ids[frame][own[here]].tolist(), known[of_before[like]].tolist(), strict=True):
            if name not in names.values():
                names.setdefault(one, name)
    for one in np.unique(ids[ids > 0]).tolist():
        if one not in names:
            names[one] = last = last + 1
    return np.vectorize(lambda one: names.get(int(one), 0), otypes=[ids.dtype])(ids), last
