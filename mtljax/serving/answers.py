"""What a prediction means: classes, tags, numbers, points, maps, objects; as arrays, and as plain values for JSON."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from mtljax.serving import objects
from mtljax.serving.images import at_size
from mtljax.serving.plain import plain, sigmoid, softmax
from mtljax.tasks import Task

Told = dict[str, Any]
_LISTED = 5  # of many classes, the likeliest that are told


@dataclasses.dataclass(frozen=True)
class Question:
    """What is known of a task beside its prediction.

    Attributes:
        task: whose prediction it is.
        names: of classes or tags, by number; those that have none are told by number.
        channels: of the label: how many numbers are meant.
        size: (h, w) of the image, at which maps are wanted; None where there is no image.
    """

    task: Task
    names: Sequence[str] = ()
    channels: int = 1
    size: tuple[int, int] | None = None

    def name(self, i: int) -> str:
        """The name of a class."""
        return self.names[i] if i < len(self.names) else str(i)


def question(task: Task, labels: Mapping[str, Any], size: tuple[int, int] | None) -> Question:
    """What is asked of a task's prediction, by what the run was taught.

    Args:
        task: of the run.
        labels: as `mtljax.train.run.inputs_file.described` has them.
        size: (h, w) of the image, or None.
    """
    label = labels.get(task.labels[0]) if task.labels else None
    shape = (label["arrays"].get("shape") if label else None) or [1]
    return Question(task, (label or {}).get("names") or (), int(shape[-1]), size)


def answer(asked: Question, found: Any) -> tuple[dict[str, np.ndarray], Told]:
    """Arrays, and plain values, of what a task says of one image.

    Args:
        asked: see `question`.
        found: its prediction for the image: (C,), or maps (h, w, C), which come out at the image's own size; of
            objects a dict of arrays, in pixels of that size already (`mtljax.serving.objects.at_own_size`).

    Returns:
        Arrays by name, the first of which is the answer itself; and what can be told in words. Numbers that are not
        finite are None there, and `not_finite` says how many of the prediction are; shares are of the other pixels.

    Example:
        >>> import mtljax as mtl
        >>> asked = Question(mtl.tasks.classify(2, label="kind"), ("owl", "finch"))
        >>> answer(asked, np.float32([0.0, 1.0]))[1]["class"]
        'finch'
    """
    if asked.task.kind == objects.OBJECTS and isinstance(found, Mapping):
        arrays, told = objects.arrays_of(found), objects.told(found, asked.name)
    else:
        found = np.asarray(found, np.float32)
        arrays, told = (_MAPS if found.ndim == 3 else _VALUES)[asked.task.kind](asked, found)
    if asked.task.unit:
        told["unit"] = asked.task.unit
    if bad := sum(int((~np.isfinite(x)).sum()) for x in jax.tree.leaves(found)):
        told["not_finite"] = bad
    return arrays, told


def _classes(asked: Question, found: np.ndarray) -> tuple[dict[str, np.ndarray], Told]:
    likely = softmax(found)
    if not np.isfinite(found).all():
        return {"probabilities": likely}, {"class": None}
    order = np.argsort(-likely, kind="stable")[:_LISTED]
    told = {asked.name(int(i)): plain(likely[i]) for i in order}
    return {"probabilities": likely}, {"class": asked.name(int(order[0])), "number": int(order[0]), "likeliest": told}


def _tags(asked: Question, found: np.ndarray) -> tuple[dict[str, np.ndarray], Told]:
    likely = sigmoid(found)
    told = {asked.name(i): plain(p) for i, p in enumerate(likely)}
    return {"probabilities": likely}, {"tags": [asked.name(int(i)) for i in np.flatnonzero(found >= 0)], "likely": told}


def _numbers(asked: Question, found: np.ndarray) -> tuple[dict[str, np.ndarray], Told]:
    meant = found[: asked.channels]
    return {"numbers": meant}, {"numbers": plain(meant)}


def _gaussian(asked: Question, found: np.ndarray) -> tuple[dict[str, np.ndarray], Told]:
    mean, deviation = found[: len(found) // 2], np.exp(found[len(found) // 2 :] / 2)
    told = {"numbers": plain(mean), "deviations": plain(deviation)}
    return {"numbers": mean, "deviations": deviation}, told


def _class_map(asked: Question, found: np.ndarray) -> tuple[dict[str, np.ndarray], Told]:
    """The largest of the logits at the image's own size, one class after the other: maps may be large."""
    best = chosen = finite = None
    for i in range(found.shape[-1]):
        plane = _sized(asked, found[..., i : i + 1])[..., 0]
        if best is None or chosen is None or finite is None:
            best, chosen = plane, np.zeros(plane.shape, np.uint8 if found.shape[-1] <= 256 else np.uint16)
            finite = np.isfinite(plane)
            continue
        finite &= np.isfinite(plane)
        larger = plane > best
        best, chosen[larger] = np.where(larger, plane, best), i
    assert chosen is not None
    assert finite is not None
    ids, counts = np.unique(chosen[finite], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {"classes": chosen}, {"shares": {asked.name(int(ids[i])): plain(counts[i] / counts.sum()) for i in order}}


def _probability_map(asked: Question, found: np.ndarray) -> tuple[dict[str, np.ndarray], Told]:
    likely = sigmoid(_sized(asked, found[..., :1])[..., 0])
    return {"probability": likely}, {"share_above_half": _above_half(likely)}


def _tag_maps(asked: Question, found: np.ndarray) -> tuple[dict[str, np.ndarray], Told]:
    likely = sigmoid(_sized(asked, found))
    shares = {asked.name(i): _above_half(likely[..., i]) for i in range(likely.shape[-1])}
    return {"probabilities": likely}, {"shares_above_half": shares}


def _above_half(likely: np.ndarray) -> float | None:
    known = likely[np.isfinite(likely)]
    return plain((known > 0.5).mean()) if known.size else None


def _number_map(asked: Question, found: np.ndarray) -> tuple[dict[str, np.ndarray], Told]:
    maps = _sized(asked, found[..., : asked.channels])
    spread = np.quantile(maps, (0, 0.5, 1)) if np.isfinite(maps).all() else [np.nan] * 3
    least, median, most = plain(spread)
    told = {"least": least, "median": median, "most": most}
    return {"numbers": maps[..., 0] if maps.shape[-1] == 1 else maps}, told


def _gaussian_map(asked: Question, found: np.ndarray) -> tuple[dict[str, np.ndarray], Told]:
    half = found.shape[-1] // 2
    arrays, told = _number_map(dataclasses.replace(asked, channels=half), found)
    return {**arrays, "deviations": np.exp(_sized(asked, found[..., half:]) / 2)}, told


def _directions(asked: Question, found: np.ndarray) -> tuple[dict[str, np.ndarray], Told]:
    maps = _sized(asked, found)
    return {"directions": maps / np.maximum(np.linalg.norm(maps, axis=-1, keepdims=True), 1e-9)}, {}


def _flow(asked: Question, found: np.ndarray) -> tuple[dict[str, np.ndarray], Told]:
    """In pixels of the image's own size."""
    ratio = np.array(asked.size or found.shape[:2]) / found.shape[:2]
    maps = _sized(asked, found[..., :2] * ratio[::-1].astype(np.float32))
    length = np.linalg.norm(maps, axis=-1)
    return {"flow": maps}, {"pixels": {"mean": plain(length.mean()), "most": plain(length.max())}}


def _points(asked: Question, found: np.ndarray) -> tuple[dict[str, np.ndarray], Told]:
    """In pixels of the image's own size, centres at integers + 0.5."""
    height, width, number = found.shape
    flat = found.reshape(-1, number)
    at = flat.argmax(axis=0)
    ratio = np.array(asked.size or (height, width)) / (height, width)
    places = (np.stack([at % width, at // width], axis=-1) + 0.5) * ratio[::-1]
    places[~np.isfinite(flat).all(axis=0)] = np.nan
    likely = softmax(flat.T)[np.arange(number), at]
    told = [{"name": asked.name(i), "x": plain(x), "y": plain(y), "probability": plain(likely[i])}
            for i, (x, y) in enumerate(places)]  # fmt: skip
    return {"points": places.astype(np.float32), "probabilities": likely}, {"points": told}


def _sized(asked: Question, maps: np.ndarray) -> np.ndarray:
    return maps if asked.size is None else at_size(maps[None], asked.size)[0]


_Reader = Callable[[Question, np.ndarray], tuple[dict[str, np.ndarray], Told]]
_VALUES: Mapping[str, _Reader] = {
    **dict.fromkeys(("numbers", "directions", "flow", "points", objects.OBJECTS), _numbers),
    "gaussian": _gaussian,
    "classes": _classes,
    "tags": _tags,
    "probability": _tags,
}
_MAPS: Mapping[str, _Reader] = {
    "numbers": _number_map,
    "gaussian": _gaussian_map,
    "classes": _class_map,
    "tags": _tag_maps,
    "probability": _probability_map,
    "points": _points,
    "directions": _directions,
    "flow": _flow,
    objects.OBJECTS: _number_map,
}
