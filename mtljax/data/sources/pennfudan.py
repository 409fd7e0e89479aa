"""PennFudan: pedestrians in streets, each with its mask."""

import functools
import pathlib

import numpy as np

from mtljax.data.dataset import Example, valid_everywhere
from mtljax.data.fit import fitted
from mtljax.data.folder import Folder
from mtljax.data.labels.boxes import tight
from mtljax.data.labels.objects import OBJECTS, checked_objects, padded
from mtljax.data.reading import images
from mtljax.data.reading.files import half_copied, missing_folder
from mtljax.data.resize import checked_size
from mtljax.errors import UserError

CLASSES = ("background", "pedestrian")
_HELD_OUT = 5  # every fifth image


def pennfudan(path: str, size: tuple[int, int] = (128, 128), objects: int = OBJECTS, cache_mb: int = 512) -> Folder:
    """Images of pedestrians: `segmentations`, `instances` with boxes of the visible pixels, and `semantic`.

    The folder holds `PNGImages/X.png` and `PedMasks/X_mask.png`, of 8 bits: 0, and 1 to n for the pedestrians. All are
    listed (`objects_valid`) and none is ignored; their `category` is 1. There is no official split: every fifth image
    by name is held out.

    Args:
        path: of the folder.
        size: (height, width) within which images are shown; they keep their aspect, in the middle of black.
        objects: M, to which the pedestrians of an image are padded.
        cache_mb: megabytes of examples that a split keeps once they are read; all of them at 128 x 128 are about 25.

    Returns:
        A data set with the splits `train` and `validation`.

    Raises:
        UserError: for arguments that cannot be.

    References:
        Wang et al., Object detection combining recognition and segmentation, ACCV 2007.

    Example:
        >>> pennfudan("data/PennFudanPed").name
        'pennfudan/PennFudanPed'
    """
    if type(cache_mb) is not int or cache_mb < 0:
        raise UserError(f"pennfudan(cache_mb={cache_mb!r}): expected a whole number, 0 for none.")
    root = pathlib.Path(path).expanduser()
    read = functools.partial(_example, checked_size(size), checked_objects("pennfudan", objects))
    said = {"semantic": CLASSES, "category": CLASSES}
    return Folder(f"pennfudan/{root.name}", functools.partial(_files, root), read, said, cache_mb)


def _files(root: pathlib.Path, split: str) -> list[pathlib.Path]:
    """The images of a split, each with its mask."""
    if not root.is_dir():
        raise missing_folder("pennfudan", root)
    if lacking := [part for part in ("PNGImages", "PedMasks") if not (root / part).is_dir()]:
        raise half_copied("pennfudan", root, lacking)
    files = sorted((root / "PNGImages").glob("*.png"))
    for file in files:
        if not _mask_of(file).is_file():
            raise UserError(f"{str(file)!r} has no mask; expected {str(_mask_of(file))!r}.")
    chosen = [file for i, file in enumerate(files) if (i % _HELD_OUT == _HELD_OUT - 1) == (split == "validation")]
    if not chosen:
        raise UserError(f"pennfudan folder {str(root)!r} has {len(files)} images: none for {split}.")
    return chosen


def _mask_of(file: pathlib.Path) -> pathlib.Path:
    return file.parents[1] / "PedMasks" / f"{file.stem}_mask.png"


def _example(size: tuple[int, int], objects: int, file: pathlib.Path) -> Example:
    image, ids = images.colour(file), images.class_ids(_mask_of(file), "mask", "8 bit ids of pedestrians")
    images.must_fit("mask", _mask_of(file), ids, image)
    number = int(ids.max())
    if lacking := sorted(set(range(1, number + 1)) - set(np.unique(ids).tolist())):
        raise UserError(f"mask {str(_mask_of(file))!r} has ids up to {number} but no {lacking[0]}; expected no gap.")
    ids = ids[None, ..., None]
    instances = {
        **tight(ids, number),
        "category": np.ones(number, np.int32),
        "ignored": np.zeros((number, 1), bool),
    }
    example = {
        "image": image[None],
        "semantic": (ids > 0).astype(np.int32),
        "semantic_valid": valid_everywhere(ids),
        "segmentations": ids.astype(np.uint8),
        **padded(instances, objects, f"image {str(file)!r}"),
    }
    return fitted(example, size)
