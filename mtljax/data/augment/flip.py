"""The example as a mirror shows it."""

import functools

import numpy as np

from mtljax.data.augment.augmentation import Augmentation, checked
from mtljax.data.dataset import Example
from mtljax.data.window import FLOWS, dense

_MIRROR = np.array([-1, 1, 1], np.float32)
_TURN = -_MIRROR  # what a mirror does to an axis of rotation
_MIRRORED_QUATERNION = np.array([1, *_TURN], np.float32)


def flip(p: float = 0.5) -> Augmentation:
    """Mirrors left and right with probability p.

    With M = diag(-1, 1, 1): a pixel at u stands at W - u, a point X of a camera's frame at M X. So x is negated in
    normals and flow, and the skew in the intrinsics, and cx becomes W - cx. The world is mirrored at its plane x = 0,
    and every object in its own frame, so that poses stay rotations (one reflection on either side): a motion (R, t),
    that of the camera or of an object to the world or of a camera to the next, becomes (M R M, M t). M R M turns by
    the same angle about an axis with y and z negated. Up stays up. `keypoints` keep their order: a left eye in the
    mirror is still called left, so do not flip where points have a side.

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
    return Augmentation(f"flip(p={p})", functools.partial(_perhaps_mirrored, p))


def _perhaps_mirrored(p: float, example: Example, rng: np.random.Generator) -> Example:
    return mirrored(example) if rng.random() < p else example


def mirrored(example: Example) -> Example:
    """The mirrored example: `flip` says what that is."""
    width = example["image"].shape[2]
    result = example | {key: value[:, :, ::-1] for key, value in dense(example).items()}
    result["image"] = example["image"][:, :, ::-1]
    if "normal" in result:
        result["normal"] = result["normal"] * _MIRROR
    for key in FLOWS:
        if key in result:
            result[key] = result[key] * _MIRROR[:2]
    if "keypoints" in example:
        result["keypoints"] = _mirrored_points(example["keypoints"], example["keypoints_valid"], width)
    if "ego_motion" in example:
        result["ego_motion"] = example["ego_motion"] * np.concatenate([_MIRROR, _TURN])
    if "camera" in example:
        result["camera"] = _mirrored_poses(example["camera"])
        if "intrinsics" in example["camera"]:
            result["camera"]["intrinsics"] = _mirrored_intrinsics(example["camera"]["intrinsics"], width)
    if "instances" in example:
        result["instances"] = _mirrored_poses(example["instances"])
        if "bboxes" in example["instances"]:
            result["instances"]["bboxes"] = _mirrored_boxes(example["instances"]["bboxes"])
    return result


def _mirrored_points(points: np.ndarray, valid: np.ndarray, width: int) -> np.ndarray:
    """(s, K, 2) pixels; points that are not valid stay 0."""
    return np.where(valid, points * _MIRROR[:2] + np.array([width, 0], points.dtype), points)


def _mirrored_poses(posed: Example) -> Example:
    signs = {"positions": _MIRROR, "quaternions": _MIRRORED_QUATERNION}
    return {key: value * signs[key] if key in signs else value for key, value in posed.items()}


def _mirrored_intrinsics(intrinsics: np.ndarray, width: int) -> np.ndarray:
    image = np.array([[-1, 0, width], [0, 1, 0], [0, 0, 1]], intrinsics.dtype)
    return image @ (intrinsics * _MIRROR)


def _mirrored_boxes(boxes: np.ndarray) -> np.ndarray:
    """[ymin, xmin, ymax, xmax] in shares of the image; an empty box stays (0, 0, 0, 0)."""
    empty = np.all(boxes == 0, axis=-1, keepdims=True)
    ymin, xmin, ymax, xmax = np.moveaxis(boxes, -1, 0)
    return np.where(empty, 0, np.stack([ymin, 1 - xmax, ymax, 1 - xmin], axis=-1)).astype(boxes.dtype)
