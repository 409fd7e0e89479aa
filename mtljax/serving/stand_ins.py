"""Labels that stand in for those that a photograph has not, so that tasks draw predictions as they do in training."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from mtljax.tasks import Task
from mtljax.tasks.task import NAMES

INSTANCES = "instances"
_NO_TURN = np.array([1, 0, 0, 0], np.float32)  # a quaternion


def batch_for(task: Task, prediction: Any, image: np.ndarray, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A batch of two examples, both of the image, with which a task draws two of the prediction, of which one is meant.

    Maps of numbers are labelled with the range of the run's labels, half of the pixels with its lower end and half with
    its upper, and numbers of whole examples so in turns: a picture's colours then span that range. What is of a
    prediction's own shape, such as a camera's motion, is labelled with the prediction. Of all else there is no label:
    of `instances` one object, which does not count.

    Args:
        task: to draw.
        prediction: (2, ...), twice the same.
        image: (s, h, w, C) float32.
        inputs: as `mtljax.train.run.inputs_file.described` has it.

    Returns:
        `image` (2, s, h, w, C), labels with their masks, `names` of their classes, `camera` where the run has one,
        which stays at the world's origin.
    """
    batch: dict[str, Any] = {"image": np.stack([image, image])}
    if inputs["intrinsics"] is not None:
        batch["camera"] = {
            "intrinsics": np.stack([np.asarray(inputs["intrinsics"], np.float32)] * 2),
            "positions": np.zeros((2, len(image), 3), np.float32),
            "quaternions": np.broadcast_to(_NO_TURN, (2, len(image), 4)),
        }
    batch[NAMES] = {key: label["names"] for key, label in inputs["labels"].items() if label.get("names")}
    network_size = (inputs["given"].get("image") or {}).get("shape", [0])[1:3]
    for key in (*task.labels, *task.optional_labels):
        label = inputs["labels"].get(key)
        if key == INSTANCES:
            batch |= _no_object(len(image))
        elif label is not None and "shape" in label["arrays"]:
            batch |= _label(key, label["arrays"], prediction, list(image.shape[:3]), network_size)
    return batch


def _no_object(frames: int) -> dict[str, Any]:
    """Objects of which none counts, of two clips, with all that may be known of one."""
    turns = np.broadcast_to(_NO_TURN, (2, 1, frames, 4))
    places = np.zeros((2, 1, frames, 3), np.float32)
    return {
        INSTANCES: {
            "bboxes": np.zeros((2, 1, frames, 4), np.float32),
            "category": np.ones((2, 1), np.int32),
            "visibility": np.zeros((2, 1, frames), np.int32),
            "positions": places,
            "quaternions": turns,
            "scale": np.ones((2, 1, 3), np.float32),
        },
        f"{INSTANCES}_valid": np.zeros((2, 1), bool),
    }


def _label(
    key: str, arrays: Mapping[str, Any], prediction: Any, size: list[int], network_size: list[int]
) -> dict[str, np.ndarray]:
    shape, dtype, low, high = list(arrays["shape"]), np.dtype(arrays["dtype"]), arrays["low"], arrays["high"]
    is_map = len(shape) == 4 and shape[1:3] == list(network_size)
    if is_map:
        shape[:3] = size  # frames may be asked one by one
    mask = (2, *shape[:-1], 1) if shape else (2,)
    if dtype.kind == "f" and low is not None and (is_map or len(shape) < 2):
        value = np.full((2, *shape), low, dtype)
        if is_map:
            value[:, :, size[1] // 2 :] = high
        else:
            value[1] = high
        return {key: value, f"{key}_valid": np.ones(mask, bool)}
    leaves = jax.tree.leaves(prediction)
    if dtype.kind == "f" and len(leaves) == 1 and leaves[0].shape == (2, *shape):
        return {key: np.asarray(leaves[0], dtype), f"{key}_valid": np.ones(mask, bool)}
    return {key: np.zeros((2, *shape), dtype), f"{key}_valid": np.zeros(mask, bool)}
