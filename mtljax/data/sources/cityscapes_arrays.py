"""Cityscapes in the layout of two tasks that multi-task papers share: arrays of 128 x 256 pixels."""

import functools
import pathlib

import numpy as np

from mtljax.data.dataset import Example, masked
from mtljax.data.folder import Folder
from mtljax.data.reading import images
from mtljax.data.reading.arrays import numbered, numbers, unit_range
from mtljax.data.reading.files import SHORT, missing_folder, must_exist
from mtljax.data.sources.cityscapes import CATEGORIES, CLASSES
from mtljax.errors import UserError

_NAMES = {7: CATEGORIES, 19: CLASSES}
_UNIT = "disparity over the image's width, as MTAN's authors share it: what is near is great"


def cityscapes_arrays(path: str, classes: int = 7) -> Folder:
    """Street scenes with `semantic` and `depth`, as MTAN and the tables after it read them.

    The folder holds `train` (2975 images) and `val` (500), each with `image`, `label_7` (and `label_19`) and `depth`,
    and these `0.npy`, `1.npy`, ...: images (h, w, 3) in [0, 1]; classes (h, w), -1 where there is none; what they call
    depth (h, w, 1), 0 where there is none, which is a scaled disparity, and no length: `cityscapes` has metres.

    Args:
        path: of the folder.
        classes: 7 or 19.

    Returns:
        A data set with the splits `train` and `validation`.

    Raises:
        UserError: for another number of classes.

    References:
        The layout: Liu et al., End-to-End Multi-Task Learning with Attention, CVPR 2019.

    Example:
        >>> cityscapes_arrays("data/cityscapes_arrays").name
        'cityscapes_arrays'
    """
    if classes not in _NAMES:
        raise UserError(f"cityscapes_arrays(classes={classes!r}): expected 7 or 19.")
    root = pathlib.Path(path).expanduser()
    read = functools.partial(_example, classes)
    meanings = {"semantic": _NAMES[classes], "depth": _UNIT}
    return Folder(root.name, functools.partial(_images, root, classes), read, meanings)


def _images(root: pathlib.Path, classes: int, split: str) -> list[pathlib.Path]:
    if not root.is_dir():
        raise missing_folder("Cityscapes", root)
    folder = root / SHORT[split]
    found = numbered("Cityscapes", folder)
    must_exist("Cityscapes", folder, (folder / part / f.name for part in (f"label_{classes}", "depth") for f in found))
    return found


def _example(classes: int, file: pathlib.Path) -> Example:
    image = numbers(file, 3)
    label, depth = (_beside(file, part, channels, image) for part, channels in ((f"label_{classes}", 0), ("depth", 1)))
    if label.max() >= classes or (label != np.round(label)).any():
        where = str(file.parent.parent / f"label_{classes}" / file.name)
        raise UserError(f"{where!r} holds {label.max():g}; expected classes 0 .. {classes - 1}.")
    return {
        "image": unit_range(file, image)[None],
        **masked("semantic", label.astype(np.int32), label >= 0),
        **masked("depth", depth.astype(np.float32), depth[..., 0] > 0),
    }


def _beside(file: pathlib.Path, part: str, channels: int, image: np.ndarray) -> np.ndarray:
    place = file.parent.parent / part / file.name
    label = numbers(place, channels).astype(np.float64)
    images.must_fit(part, place, label, image)
    return label
