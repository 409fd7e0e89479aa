"""Objects of rows of one's own: boxes, a map of them, tracks, and the camera that saw them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mtljax.data.dataset import Example
from mtljax.data.labels.instances import instances
from mtljax.data.own.kinds import as_array, is_missing
from mtljax.errors import UserError

BESIDES = ("instances_valid", "objects_valid", "segmentations", "camera")  # keys that are read with `instances`


def read_objects(
    row: Mapping[str, Any], shape: tuple[int, int, int], objects: int, first: Example | None = None
) -> Example:
    """The objects of a row, with the map of them and the camera where it has these.

    Args:
        row: with `instances`, a dict of lists or arrays of its n objects as `mtljax.data.instances` takes them, or
            None where they are not listed; and `segmentations`, `instances_valid`, `objects_valid` and `camera`.
        shape: (s, H, W) of its image.
        objects: M.
        first: what another row gave, for the form of one that has none.

    Raises:
        UserError: for what cannot be objects.
    """
    told = row.get("instances")
    if is_missing(told):
        if first is None:
            raise UserError("'instances' is missing; expected objects in one of the first rows: they tell the entries.")
        camera = {"camera": first["camera"]} if "camera" in first else {}
        return {key: _zeros(key, value, shape) for key, value in first.items()} | camera
    if not isinstance(told, Mapping):
        kind = type(told).__name__
        raise UserError(f"'instances' is a {kind}; expected a dict such as {{'bboxes': ..., 'category': ...}}.")
    entries = {key: as_array(f"instances/{key}", value) for key, value in told.items()}
    ids = row.get("segmentations")
    found = instances(
        shape,
        entries.pop("bboxes", None),
        segmentations=None if ids is None else as_array("segmentations", ids),
        listed=True if row.get("objects_valid") is None else row["objects_valid"],
        valid=True if row.get("instances_valid") is None else row["instances_valid"],
        objects=objects,
        where="'instances'",
        **entries,
    )
    if isinstance(row.get("camera"), Mapping):
        camera = {key: as_array(f"camera/{key}", part) for key, part in row["camera"].items()}
        found["camera"] = {key: part.astype(np.float32) for key, part in camera.items()}
    return found


def _zeros(key: str, value: Any, shape: tuple[int, int, int]) -> Any:
    if isinstance(value, Mapping):
        return {name: np.zeros_like(part) for name, part in value.items()}
    return np.zeros((*shape, 1), np.uint8) if key == "segmentations" else np.zeros_like(value)
