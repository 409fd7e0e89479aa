"""How inputs are prepared and what outputs mean, as plain values for programs without mtljax."""

from typing import Any

import jax

from mtljax.serving.answers import Question, question
from mtljax.serving.export.function import INPUT, Served
from mtljax.serving.objects import OBJECTS, READ
from mtljax.tasks import Task

FILE = "preprocessing.json"
VERSION = 1
_READ = {
    "numbers": "the first `channels` numbers, in `unit`",
    "gaussian": "half of the numbers are means, the other half logarithms of variances",
    "classes": "logits: softmax over the last axis for probabilities, the largest is the class",
    "tags": "a logit for each tag: sigmoid for its probability",
    "probability": "a logit: sigmoid for the probability",
    "points": "a heat map of logits for each point: the largest is where it is, pixel centres at integers + 0.5",
    "directions": "vectors along x (right), y (down), z (forward); their length means nothing",
    "flow": "pixels of the resized image along x and y, in the first two channels",
}


def described(served: Served, file: str, shape: list[Any]) -> dict[str, Any]:
    """What must be done to inputs before, and how outputs are read.

    Args:
        served: the network.
        file: its name.
        shape: of its input, with names for what may be of any size.

    Returns:
        `version`, `file`, `input`, `outputs` by name, `camera`.
    """
    network, inputs = served.network, served.network.inputs
    outputs = {}
    for name, leaf in served.shapes().items():
        task, part = network.tasks[name.split("/")[0]], name.rpartition("/")[2]
        asked = question(task, inputs["labels"], None)
        outputs[name] = {
            "shape": ["batch", *leaf.shape[1:]],
            "dtype": leaf.dtype.name,
            "kind": task.kind,
            "read": _read(task, part, leaf, served),
            "channels": asked.channels if task.kind == "numbers" else leaf.shape[-1] if leaf.ndim > 1 else 1,
            "unit": task.unit,
            "names": _names(asked, part),
        }
    return {
        "version": VERSION,
        "file": file,
        "input": _input(served, shape),
        "outputs": outputs,
        "camera": {"intrinsics": network.intrinsics, "note": "built in"} if network.intrinsics else None,
    }


def _read(task: Task, part: str, leaf: jax.ShapeDtypeStruct, served: Served) -> str:
    """How an output is read, in words."""
    if task.kind != OBJECTS:
        return _READ[task.kind]
    frames = served.is_image and served.network.frames != 1
    is_map = part == "ids" and leaf.ndim == 3 + frames
    return READ.get("map" if is_map else part, "what the task tells")


def _names(asked: Question, part: str) -> list[str]:
    """Of the classes that the last axis of an output stands for; those of objects are numbered from 1."""
    if asked.task.kind != OBJECTS:
        return list(asked.names)
    return list(asked.names[1:]) if part == "probability" else []


def _input(served: Served, shape: list[Any]) -> dict[str, Any]:
    leaf = served.network.inputs["given"].get("image", {"dtype": None})
    if not served.is_image:
        trees = jax.tree.map(lambda x: {"shape": ["batch", *x.shape], "dtype": x.dtype.name}, served.one)
        return {"name": INPUT, "arrays": trees, "divide_by": 255 if leaf["dtype"] == "uint8" else None}
    *_, height, width, channels = served.one.shape
    eight_bits = leaf["dtype"] == "uint8"
    return {
        "name": INPUT,
        "shape": shape,
        "dtype": "float32",
        "colour": {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels"),
        "divide_by": 255 if eight_bits else None,
        "range": [0, 1] if eight_bits else [leaf["low"], leaf["high"]],
        "height": height,
        "width": width,
        "resize": "the whole image to this height and width: means of areas where it shrinks by whole numbers, else "
        "bilinear with antialiasing, as Pillow's BOX and BILINEAR",
        "normalise": "none: what the encoder wants is in the network",
        "orientation": "upright: an EXIF tag is to be followed",
    }
