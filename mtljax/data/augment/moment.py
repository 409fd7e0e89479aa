"""Some successive frames of a clip."""

import functools
from collections.abc import Mapping

import numpy as np

from mtljax.data.augment.augmentation import Augmentation
from mtljax.data.dataset import BETWEEN, Example
from mtljax.data.kinds import fields, replaced
from mtljax.data.labels.objects import FUTURE
from mtljax.errors import UserError


def moment(frames: int, future: int = FUTURE) -> Augmentation:
    """Successive frames of a clip, at a place drawn once a clip; and where its objects are in the frames behind them.

    What is between two frames is not valid on the window's last (backward flow, on its first), as on a clip's. Objects
    that no frame of the window shows are not valid. Where objects have places, `future` (M, T, 2) holds their x and y
    in the world, in metres, in the T frames behind the window; beyond the clip they are not valid.

    Args:
        frames: of the window.
        future: T.

    Raises:
        UserError: for numbers that cannot be; when applied, for shorter clips.

    Example:
        >>> places = np.arange(6, dtype=np.float32)[None, :, None] * np.ones(3, np.float32)
        >>> objects = {"bboxes": np.ones((1, 6, 4), np.float32), "positions": places}
        >>> clip = {"image": np.zeros((6, 4, 4, 3)), "instances": objects, "instances_valid": np.array([True])}
        >>> found = moment(3, future=3)(clip, np.random.default_rng(1))
        >>> print(found["image"].shape, found["instances"]["positions"][0, :, 0], found["future"][0, :, 0])
        (3, 4, 4, 3) [1. 2. 3.] [4. 5. 0.]
        >>> print(found["future_valid"][0, :, 0])
        [ True  True False]
    """
    for name, value in (("frames", frames), ("future", future)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(f"moment({name}={value!r}): expected a whole number, at least 1.")
    text = f"moment({frames})" if future == FUTURE else f"moment({frames}, future={future})"
    return Augmentation(text, functools.partial(_momentary, text, frames, future), by_kind=True)


def _momentary(
    text: str, frames: int, future: int, example: Example, rng: np.random.Generator, kinds: Mapping[str, str]
) -> Example:
    length = len(example["image"])
    if frames > length:
        raise UserError(f"{text}: a clip has only {length} frame{'s' if length > 1 else ''}.")
    start = int(rng.integers(0, length - frames + 1))
    changes = {"image": example["image"][start : start + frames]}
    for field in fields(example, kinds):
        if field.frame_axis is not None:
            before = (slice(None),) * field.frame_axis
            changes[field.path] = field.value[(*before, slice(start, start + frames))]
    for label, alone in BETWEEN.items():
        for key in (label, f"{label}_valid"):
            if key in changes:
                changes[key] = changes[key].copy()
                changes[key][alone] = 0
    result = replaced(example, changes)
    if "instances" in example:
        result |= _of_objects(example, result, start + frames, future)
    return result


def _of_objects(example: Example, result: Example, end: int, steps: int) -> Example:
    """`instances_valid` of those that the window shows, and `future` behind its end."""
    valid = example["instances_valid"] & np.any(result["instances"]["bboxes"] != 0, axis=(1, 2))
    found: Example = {"instances_valid": valid}
    if "positions" in example["instances"]:
        places = example["instances"]["positions"][:, end : end + steps, :2]
        rest = steps - places.shape[1]
        known = np.pad(np.ones(places.shape[:2], bool), ((0, 0), (0, rest)))[..., None] & valid[:, None, None]
        found |= {"future": np.where(known, np.pad(places, ((0, 0), (0, rest), (0, 0))), 0), "future_valid": known}
    return found
