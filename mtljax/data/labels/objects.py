"""The objects of an example, padded to a fixed number."""

import numpy as np

from mtljax.data.dataset import Example
from mtljax.errors import UserError

OBJECTS = 32  # to which pedestrians are padded
FUTURE = 8  # frames behind a window


def padded(instances: Example, objects: int, where: str) -> Example:
    """`instances`, `instances_valid` and `objects_valid` of a clip whose objects are all listed.

    Args:
        instances: arrays of n objects, the first axis theirs, with `bboxes` (n, s, 4) and `ignored` (n, s) bool.
        objects: M.
        where: for messages.

    Raises:
        UserError: for more than M objects.

    Example:
        >>> found = padded({"bboxes": np.ones((1, 2, 4)), "ignored": np.zeros((1, 2), bool)}, 3, "image 1")
        >>> print(found["instances"]["bboxes"].shape, found["instances_valid"], found["objects_valid"])
        (3, 2, 4) [ True False False] [ True  True]
    """
    number, frames = instances["bboxes"].shape[:2]
    if number > objects:
        raise UserError(f"{where}: {number} objects; expected at most {objects}: objects={number} takes them.")
    rest = objects - number
    return {
        "instances": {key: np.pad(x, [(0, rest)] + [(0, 0)] * (x.ndim - 1)) for key, x in instances.items()},
        "instances_valid": np.arange(objects) < number,
        "objects_valid": np.ones(frames, bool),
    }


def nothing_behind(objects: int, steps: int = FUTURE) -> Example:
    """The label `future` of a whole clip, behind which nothing is known: zeros (M, T, 2), not valid.

    Example:
        >>> nothing_behind(3)["future_valid"].shape
        (3, 8, 1)
    """
    return {"future": np.zeros((objects, steps, 2), np.float32), "future_valid": np.zeros((objects, steps, 1), bool)}


def in_sequence(number: int) -> Example:
    """The label `sequence`.

    Example:
        >>> in_sequence(3)["sequence"]
        array(3, dtype=int32)
    """
    return {"sequence": np.array(number, np.int32), "sequence_valid": np.array(True)}


def checked_objects(name: str, objects: int, most: int = 255) -> int:
    """The number of objects, where it is one that a map of 8 bits can hold.

    Raises:
        UserError: where it is not.
    """
    if not isinstance(objects, int) or isinstance(objects, bool) or not 1 <= objects <= most:
        raise UserError(f"{name}(objects={objects!r}): expected a whole number from 1 to {most}.")
    return objects
