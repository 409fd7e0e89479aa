"""The example as a mirror shows it."""

import functools
from collections.abc import Callable, Mapping

import numpy as np

from mtljax.data.augment.augmentation import Augmentation, checked
from mtljax.data.dataset import KINDS, Example
from mtljax.data.kinds import MAPS, fields, replaced

_MIRROR = np.array([-1, 1, 1], np.float32)
_TURN = -_MIRROR  # what a mirror does to an axis of rotation
_Change = Callable[[np.ndarray, np.ndarray | None, int], np.ndarray]


def flip(p: float = 0.5) -> Augmentation:
    """Mirrors left and right with probability p.

    With M = diag(-1, 1, 1): a pixel at u stands at W - u, a point X of a camera's frame at M X. So x is negated in
    normals and flow, and the skew in the intrinsics, and cx becomes W - cx. The world is mirrored at its plane x = 0,
    and every object in its own frame, so that poses stay rotations (one reflection on either side): a motion (R, t),
    that of the camera or of an object to the world or of a camera to the next, becomes (M R M, M t). M R M turns by
    the same angle about an axis with y and z negated. Up stays up. Points keep their order: a left eye in the mirror
    is still called left, so do not flip where `keypoints` have a side.

    Another clip's poses are those of another world.

    Args:
        p: probability, drawn once a clip.

    Raises:
        UserError: where p is no probability.

    Example:
        >>> example = {"image": np.arange(12, dtype=np.uint8).reshape(1, 1, 4, 3), "ego_motion": np.ones((1, 6))}
        >>> mirrored = flip(p=1.0)(example, np.random.default_rng(0))
        >>> print(mirrored["image"][0, 0, :, 0], mirrored["ego_motion"][0])
        [9 6 3 0] [-1.  1.  1.  1. -1. -1.]
    """
    checked("flip", "p", p, 0, 1)
    return Augmentation(f"flip(p={p})", functools.partial(_perhaps_mirrored, p), by_kind=True)


def _perhaps_mirrored(p: float, example: Example, rng: np.random.Generator, kinds: Mapping[str, str]) -> Example:
    return mirrored(example, kinds) if rng.random() < p else example


def mirrored(example: Example, kinds: Mapping[str, str] = KINDS) -> Example:
    """The mirrored example: `flip` says what that is."""
    width = example["image"].shape[2]
    changes = {}
    for field in fields(example, kinds):
        value = field.value
        if field.kind in MAPS:
            value = value[:, :, ::-1]
        if field.kind in _CHANGES:
            value = _CHANGES[field.kind](value, field.valid, width)
        changes[field.path] = value
    return replaced(example, changes) | {"image": example["image"][:, :, ::-1]}


def _by(signs: np.ndarray) -> _Change:
    """What has its components along the last axis multiplied."""
    return lambda value, valid, width: value * signs.astype(value.dtype)


def _masks(masks: np.ndarray, valid: np.ndarray | None, width: int) -> np.ndarray:
    return masks[:, :, :, ::-1]


def _points(points: np.ndarray, valid: np.ndarray | None, width: int) -> np.ndarray:
    """(..., 2) pixels; points that are not valid stay 0."""
    there = np.any(points != 0, axis=-1, keepdims=True) if valid is None else valid
    return np.where(there, points * _MIRROR[:2] + np.array([width, 0], points.dtype), points)


def _intrinsics(intrinsics: np.ndarray, valid: np.ndarray | None, width: int) -> np.ndarray:
    image = np.array([[-1, 0, width], [0, 1, 0], [0, 0, 1]], intrinsics.dtype)
    return image @ (intrinsics * _MIRROR)


def _boxes(boxes: np.ndarray, valid: np.ndarray | None, width: int) -> np.ndarray:
    """[ymin, xmin, ymax, xmax] in shares of the image; an empty box stays (0, 0, 0, 0)."""
    empty = np.all(boxes == 0, axis=-1, keepdims=True)
    ymin, xmin, ymax, xmax = np.moveaxis(boxes, -1, 0)
    return np.where(empty, 0, np.stack([ymin, 1 - xmax, ymax, 1 - xmin], axis=-1)).astype(boxes.dtype)


_CHANGES: Mapping[str, _Change] = {
    "normals": _by(_MIRROR),
    "flow": _by(_MIRROR[:2]),
    "ground": _by(_MIRROR[:2]),
    "positions": _by(_MIRROR),
    "quaternions": _by(np.array([1, *_TURN])),
    "motion": _by(np.array([*_MIRROR, *_TURN])),
    "masks": _masks,
    "points": _points,
    "boxes": _boxes,
    "intrinsics": _intrinsics,
}
