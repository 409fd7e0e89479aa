"""COCO: images with boxes, classes and masks of their objects, and any set in its form."""

import dataclasses
import functools
import pathlib
from typing import Any

import numpy as np

from mtljax.data.dataset import Example, Source, checked_split
from mtljax.data.fit import fitted
from mtljax.data.folder import Files
from mtljax.data.labels.boxes import tight
from mtljax.data.labels.objects import checked_objects, padded
from mtljax.data.meanings import Meaning
from mtljax.data.reading import images
from mtljax.data.reading.coco import Annotations, mask_of, read_annotations
from mtljax.data.reading.files import missing_folder
from mtljax.data.resize import checked_size
from mtljax.errors import UserError

OBJECTS = 100
_HELD_OUT = 10  # every tenth image, where no other file is given


@dataclasses.dataclass(frozen=True)
class Coco:
    """See `coco`."""

    name: str
    places: tuple[tuple[pathlib.Path, pathlib.Path], ...]
    size: tuple[int, int]
    objects: int

    @property
    def meanings(self) -> dict[str, Meaning]:
        """What the categories are, in the order of their classes."""
        return {"category": _read(self.places[0][1]).names}

    def split(self, name: str) -> Source:
        """The images of `train` or `validation`, those without objects too.

        Raises:
            UserError: for an unknown split, a file that is at fault, or a first image that is not there.
        """
        held_out = checked_split(self.name, name) == "validation"
        folder, file = self.places[-1] if held_out else self.places[0]
        if not folder.is_dir():
            raise missing_folder("coco", folder)
        found = _read(file)
        if len(self.places) > 1 and found.classes != _read(self.places[0][1]).classes:
            raise UserError(f"{found.file!r} has other categories than {str(self.places[0][1])!r}.")
        chosen = found.images
        if len(self.places) == 1:
            chosen = [one for i, one in enumerate(chosen) if (i % _HELD_OUT == _HELD_OUT - 1) == held_out]
        if not chosen:
            raise UserError(f"{found.file!r} has {len(found.images)} images: none for {name}.")
        if not (folder / chosen[0]["file_name"]).is_file():
            raise UserError(f"{found.file!r} lists {chosen[0]['file_name']!r}, which is not in {str(folder)!r}.")
        return Files(tuple(chosen), functools.partial(_example, folder, found, self.size, self.objects))


def coco(
    path: str,
    annotations: str,
    size: tuple[int, int] = (128, 128),
    validation: tuple[str, str] | None = None,
    objects: int = OBJECTS,
) -> Coco:
    """Images with their objects: `instances` (`category` from 1, by rising category id), and `segmentations`.

    Masks may be polygons, or run lengths as numbers or as text; crowds are `ignored`. On the map of objects the smaller
    one is in front, and boxes hold what is seen of each. Where an annotation has no mask there is no map, and boxes are
    as they are told, clipped to the image.

    Args:
        path: of the folder of images.
        annotations: JSON file with `images`, `annotations` and `categories`.
        size: (height, width) within which images are shown; they keep their aspect, in the middle of black.
        validation: folder and file of the validation split; default: every tenth image by id is held out.
        objects: M, to which the objects of an image are padded.

    Returns:
        A data set with the splits `train` and `validation`.

    Raises:
        UserError: for arguments that cannot be.

    References:
        Lin et al., Microsoft COCO: common objects in context, ECCV 2014.

    Example:
        >>> coco("data/coco/train2017", "data/coco/annotations/instances_train2017.json").name
        'coco/instances_train2017'
    """
    pairs = [(path, annotations), *([validation] if validation else [])]
    places = tuple((pathlib.Path(a).expanduser(), pathlib.Path(b).expanduser()) for a, b in pairs)
    return Coco(f"coco/{places[0][1].stem}", places, checked_size(size), checked_objects("coco", objects))


_read = functools.lru_cache(maxsize=4)(read_annotations)


def _example(
    folder: pathlib.Path, found: Annotations, size: tuple[int, int], objects: int, listed: dict[str, Any]
) -> Example:
    file, told = folder / listed["file_name"], found.objects[listed["id"]]
    image = images.colour(file)
    height, width = image.shape[:2]
    if (height, width) != (listed["height"], listed["width"]):
        expected = f"{listed['width']} x {listed['height']}"
        raise UserError(f"image {str(file)!r} is {width} x {height} pixels; {found.file!r} says {expected}.")
    where = f"{found.file!r}, image {listed['id']}"
    if len(told) > objects:
        raise UserError(f"{where}: {len(told)} objects; expected at most {objects}: objects={len(told)} takes them.")
    example: Example = {"image": image[None]}
    if found.masks:
        ids = _map_of(told, height, width, found.file)
        example["segmentations"] = ids.astype(np.uint8)
        instances = tight(ids, len(told))
    else:
        instances = _boxes(told, height, width)
    instances["category"] = np.array([found.classes[one["category_id"]] for one in told], np.int32)
    instances["ignored"] = np.array([bool(one.get("iscrowd")) for one in told], bool).reshape(-1, 1)
    return fitted(example | padded(instances, objects, where), size)


def _map_of(told: list[dict[str, Any]], height: int, width: int, file: str) -> np.ndarray:
    """(1, H, W, 1) int32: the object of each pixel, from 1 on; the smaller one is in front."""
    masks = [mask_of(one, height, width, file) for one in told]
    ids = np.zeros((height, width), np.int32)
    for place in np.argsort([-np.count_nonzero(mask) for mask in masks], kind="stable"):
        ids[masks[place]] = place + 1
    return ids[None, ..., None]


def _boxes(told: list[dict[str, Any]], height: int, width: int) -> Example:
    """Boxes as they are told, clipped."""
    x, y, w, h = np.array([one["bbox"] for one in told], np.float64).reshape(-1, 4).T
    corners = np.stack([y / height, x / width, (y + h) / height, (x + w) / width], axis=-1).clip(0, 1)
    sides = (corners[:, 2:] - corners[:, :2]) * [height, width]
    seen = np.all(sides > 0, axis=1)
    boxes = np.where(seen[:, None], corners, 0).astype(np.float32)
    return {"bboxes": boxes[:, None], "visibility": np.ceil(np.prod(sides, axis=1) * seen).astype(np.int32)[:, None]}
