"""What tasks of objects say of a photograph, in its own pixels: boxes, whose pixels are whose, poses, ids, paths."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mtljax.serving.images import nearest
from mtljax.serving.plain import plain, softmax
from mtljax.tasks import Task
from mtljax.tasks.drawing.boxes import SHOWN
from mtljax.tasks.metrics.objects.slots import LEAST

OBJECTS = "objects"  # the kind
_FIRST = ("boxes", "paths")
# what an output of a task is, by its name
READ = {
    "boxes": "[x0, y0, x1, y1] of each slot, in pixels of the resized image",
    "score": f"of each slot, 0 to 1; pictures and answers show those of {SHOWN} or more",
    "probability": "of each slot, a number for each class",
    "ids": "of each slot who it is, from 1 on, the same in all frames of a clip, 0 for nobody",
    "map": "in each pixel of the resized image the slot of the object, from 1 on, 0 where there is none",
    "rotation": "of each slot, from the object's axes to the camera's (x right, y down, z forward)",
    "translation": "of each slot, in the camera's frame, in `unit`",
    "half_sizes": "of each slot, along the object's own axes, in `unit`",
    "paths": "where each slot goes, several paths of (x, y) in `unit`, relative to `last`",
    "last": "where each slot is, (x, y, z) in `unit`",
    "logits": "of the paths: softmax for their probabilities",
    "history": "where each slot was, in `unit`, relative to `last`",
    "seen": "whether a slot was seen in each frame of its history",
    "cell": "(x, y) of the cell of each slot's centre",
}


def has_map(found: Mapping[str, Any]) -> bool:
    """Whether a decoded prediction has a map of ids; the `ids` of slots have as many axes as their scores."""
    return "ids" in found and "score" in found and found["ids"].ndim == found["score"].ndim + 1


def at_own_size(task: Task, found: Any, seen: tuple[int, int], size: tuple[int, int]) -> Any:
    """A decoded prediction of a clip, in pixels of the clip's own size.

    Args:
        task: of the kind `objects`.
        found: as its `decode` gives it, NumPy, without a batch axis: `boxes` (s, K, 4), a map of `ids` (s, H, W), and
            places in the image of a task whose unit is pixels.
        seen: (H, W) of what the network saw.
        size: (h, w) of the clip.

    Returns:
        The same, scaled; what is no place in the image stays as it is.

    Example:
        >>> import mtljax as mtl
        >>> found = {"boxes": np.array([[[0.0, 1.0, 2.0, 3.0]]]), "score": np.ones((1, 1))}
        >>> print(at_own_size(mtl.tasks.detect(), found, (4, 4), (8, 40))["boxes"])
        [[[ 0.  2. 20.  6.]]]
    """
    if not isinstance(found, Mapping):
        return found
    ratio = np.array([size[1] / seen[1], size[0] / seen[0]], np.float32)
    scaled = dict(found)
    if "boxes" in found:
        scaled["boxes"] = found["boxes"] * np.tile(ratio, 2)
    if has_map(found):
        scaled["ids"] = nearest(found["ids"], size)
    if task.unit == "pixels":
        for key in ("paths", "last", "history"):
            if key in found:
                whole = np.concatenate([ratio, np.ones(found[key].shape[-1] - 2, np.float32)])
                scaled[key] = found[key] * whole
    return scaled


def arrays_of(found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of a frame, first what says most: the map of ids, else boxes, else paths.

    Example:
        >>> list(arrays_of({"score": np.ones(2), "boxes": np.ones((2, 4))}))
        ['boxes', 'score']
    """
    first = ("ids",) if has_map(found) else _FIRST
    return {key: found[key] for key in (*(key for key in first if key in found), *found)}


def told(found: Mapping[str, np.ndarray], name: Callable[[int], str]) -> dict[str, Any]:
    """The objects of a frame in plain values, best first.

    Args:
        found: of a frame: `score` (K,), and what else is known of the K slots; or `paths` (k, T, 2) and `logits` (k,)
            of one object, whose history was given.
        name: a class's number, from 1 on -> its name.

    Returns:
        `objects`, a list of those whose score is `least_score` or more, of tracks those that have an id: `box`,
        `score`, and of what is known `class` with its `number` and `probability`, `id`, the `on_map` number of the map
        of ids and its `pixels`, `translation`, `rotation`, `half_sizes`, `paths`; and how many slots of a lower score
        are `left_out`. Of one object `paths` alone.
    """
    if "score" not in found:
        return {"paths": _paths(found, ())} if "paths" in found else {}
    score = found["score"]
    ids = found["ids"] if "ids" in found and not has_map(found) else None
    shown = np.flatnonzero((score >= SHOWN) & (True if ids is None else ids > 0))
    best = shown[np.argsort(-score[shown], kind="stable")]
    objects = [_object(found, int(slot), name) for slot in best]
    return {"objects": objects, "least_score": SHOWN, "left_out": int((score > LEAST).sum()) - len(objects)}


def _object(found: Mapping[str, np.ndarray], slot: int, name: Callable[[int], str]) -> dict[str, Any]:
    one: dict[str, Any] = {}
    if "probability" in found:
        likely = found["probability"][slot]
        number = int(np.argmax(np.nan_to_num(likely))) + 1
        one |= {"class": name(number), "number": number, "probability": plain(likely[number - 1])}
    one["score"] = plain(found["score"][slot])
    if "boxes" in found:
        one["box"] = plain(found["boxes"][slot])
    if has_map(found):
        one |= {"on_map": slot + 1, "pixels": int((found["ids"] == slot + 1).sum())}
    elif "ids" in found:
        one["id"] = int(found["ids"][slot])
    for key in ("translation", "rotation", "half_sizes"):
        if key in found:
            one[key] = plain(found[key][slot])
    return one | ({"paths": _paths(found, slot)} if "paths" in found else {})


def _paths(found: Mapping[str, np.ndarray], slot: int | tuple[()]) -> list[dict[str, Any]]:
    """The likeliest first; where the object's place is known, in the same coordinates, else relative to it."""
    paths, likely = found["paths"][slot], softmax(found["logits"][slot])
    if "last" in found:
        paths = paths + found["last"][slot][..., :2]
    order = np.argsort(-np.nan_to_num(likely), kind="stable")
    return [{"probability": plain(likely[i]), "path": plain(paths[i])} for i in order]
