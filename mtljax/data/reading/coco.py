"""Annotation files of COCO, checked once."""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np

from mtljax.data.labels.outlines import polygon_mask, run_mask
from mtljax.errors import UserError

_LISTS = ("images", "annotations", "categories")


@dataclasses.dataclass(frozen=True)
class Annotations:
    """What a file lists.

    Attributes:
        file: its name.
        images: by rising id, each with `id`, `file_name`, `width` and `height`.
        objects: image id -> its annotations, in the file's order.
        classes: category id -> class, from 1 on by rising id.
        names: of the classes, `background` first.
        masks: whether all annotations have masks.
    """

    file: str
    images: tuple[dict[str, Any], ...]
    objects: dict[int, list[dict[str, Any]]]
    classes: dict[int, int]
    names: tuple[str, ...]
    masks: bool


def read_annotations(file: pathlib.Path) -> Annotations:
    """What an annotation file lists.

    Raises:
        UserError: where it is no JSON or lacks a list, where an image lacks something, where two images or categories
            have one id, and where an annotation is of an unknown image or category or its box has no area.
    """
    found = _json(file)
    for name in _LISTS:
        if not isinstance(found, dict) or not isinstance(found.get(name), list):
            raise UserError(f"{str(file)!r} has no list {name!r}; expected {', '.join(_LISTS)}.")
    seen: dict[Any, int] = {}
    for name, keys in (("images", ("id", "file_name", "width", "height")), ("categories", ("id",))):
        for place, one in enumerate(found[name]):
            if lacking := [key for key in keys if not isinstance(one, dict) or key not in one]:
                raise UserError(f"{str(file)!r}: {name}[{place}] has no {lacking[0]!r}.")
            if (before := seen.setdefault((name, one["id"]), place)) != place:
                raise UserError(f"{str(file)!r}: {name}[{place}] has id {one['id']!r}, as {name}[{before}] has.")
    categories = sorted(found["categories"], key=lambda one: one["id"])
    classes = {one["id"]: place for place, one in enumerate(categories, 1)}
    objects: dict[int, list[dict[str, Any]]] = {one["id"]: [] for one in found["images"]}
    for place, one in enumerate(found["annotations"]):
        if fault := _fault(one, objects, classes):
            name = one.get("id", place) if isinstance(one, dict) else place
            raise UserError(f"{str(file)!r}: annotation {name}: {fault}.")
        objects[one["image_id"]].append(one)
    return Annotations(
        file=str(file),
        images=tuple(sorted(found["images"], key=lambda one: one["id"])),
        objects=objects,
        classes=classes,
        names=("background", *(str(one.get("name", one["id"])) for one in categories)),
        masks=bool(found["annotations"]) and all(one.get("segmentation") for one in found["annotations"]),
    )


def mask_of(annotation: dict[str, Any], height: int, width: int, file: str) -> np.ndarray:
    """The mask of an annotation, of polygons or run lengths: (H, W) bool.

    Raises:
        UserError: where it cannot be.
    """
    told = annotation["segmentation"]
    try:
        if isinstance(told, list):
            return polygon_mask(told, height, width)
        if list(told.get("size", [height, width])) != [height, width]:
            raise ValueError(f"a mask of {told['size']}; its image is {height} x {width}")
        return run_mask(told["counts"], height, width)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{file!r}: annotation {annotation.get('id')}: {error}.") from error


def _json(file: pathlib.Path) -> Any:
    try:
        return json.loads(file.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{str(file)!r} cannot be read: {error}.") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{str(file)!r} is no JSON: {error}.") from error


def _fault(one: Any, images: dict[int, Any], classes: dict[int, int]) -> str | None:
    """What is wrong with an annotation."""
    if not isinstance(one, dict) or not {"image_id", "category_id", "bbox"} <= one.keys():
        return "expected image_id, category_id and bbox"
    if one["image_id"] not in images:
        return f"image {one['image_id']} is not among the {len(images)} images"
    if one["category_id"] not in classes:
        return f"category {one['category_id']} is not among {', '.join(map(str, classes))}"
    try:
        x, y, width, height = (float(value) for value in one["bbox"])
    except (TypeError, ValueError):
        return f"bbox {one['bbox']!r}; expected [x, y, width, height] in pixels"
    if not (np.isfinite([x, y]).all() and 0 < width < np.inf and 0 < height < np.inf):
        return f"bbox {one['bbox']!r} has no area"
    return None
