"""Cityscapes: streets of German cities, with classes and stereo depth."""

import functools
import json
import pathlib

import numpy as np

from mtljax.data.dataset import Example, masked
from mtljax.data.folder import Folder
from mtljax.data.reading import images
from mtljax.data.reading.cameras import HALF_A_PIXEL, must_be_of, still_camera
from mtljax.data.reading.files import SHORT, missing_folder, must_exist
from mtljax.data.reading.text import finite
from mtljax.data.resize import checked_size, resized
from mtljax.errors import UserError

CLASSES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)  # fmt: skip
CATEGORIES = ("flat", "construction", "object", "nature", "sky", "human", "vehicle")
# The ids of the 19 classes that are evaluated, in the order of Cityscapes' train ids, and the category of each.
_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_CATEGORIES = (0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 5, 6, 6, 6, 6, 6, 6)
_LAST_ID, _NO_ID = 33, 255
_PARTS = {"gtFine": "gtFine_labelIds.png", "disparity": "disparity.png", "camera": "camera.json"}
_CAMERA = {"intrinsic": ("fx", "fy", "u0", "v0"), "extrinsic": ("baseline",)}


def cityscapes(
    path: str, classes: int = 19, size: tuple[int, int] | None = None, max_depth: float | None = None
) -> Folder:
    """Street scenes with `semantic`, and `depth` and `camera` where their folders are there.

    The folder holds `leftImg8bit/train/CITY/*_leftImg8bit.png` and so on, with any of `gtFine` (`*_labelIds.png`),
    `disparity` and `camera` beside it. Depth is baseline x focal length over disparity, (p - 1) / 256 of the stored p;
    it is not valid where p is 0 or the disparity is. (MTAN and LibMTL learn the disparity itself, scaled.) The
    principal point is stored for pixel centres at integers: half a pixel is added.

    Args:
        path: of the folder.
        classes: 19, or their 7 categories; what is in none of them, such as a parking place, is not valid.
        size: (height, width) to which all is resized, labels by their nearest pixel; default: 1024 x 2048, as it is.
        max_depth: metres beyond which depth is not valid: the disparity of what is far is mostly noise.

    Returns:
        A data set with the splits `train` and `validation`, Cityscapes' `val`.

    Raises:
        UserError: for another number of classes, or a depth that is none.

    References:
        Cordts et al., The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016.

    Example:
        >>> cityscapes("data/cityscapes", classes=7, size=(128, 256)).name
        'cityscapes'
    """
    if classes not in (7, 19):
        raise UserError(f"cityscapes(classes={classes!r}): expected 19 or 7.")
    if max_depth is not None and not max_depth > 0:
        raise UserError(f"cityscapes(max_depth={max_depth!r}): expected metres above 0, or None for no limit.")
    root = pathlib.Path(path).expanduser()
    table = np.full(256, -1, np.int32)
    table[list(_IDS)] = np.arange(19) if classes == 19 else _CATEGORIES
    read = functools.partial(_example, root, table, None if size is None else checked_size(size), max_depth or np.inf)
    names = CLASSES if classes == 19 else CATEGORIES
    return Folder(root.name, functools.partial(_stems, root), read, {"semantic": names})


def _stems(root: pathlib.Path, split: str) -> list[str]:
    """Such as `train/aachen/aachen_000000_000019`."""
    if not root.is_dir():
        raise missing_folder("Cityscapes", root)
    folder = root / "leftImg8bit" / SHORT[split]
    suffix = "_leftImg8bit.png"
    found = sorted(folder.glob(f"*/*{suffix}"))
    if not found:
        raise UserError(f"Cityscapes folder {str(folder)!r} has no images; expected CITY/*{suffix}.")
    stems = [str(file.relative_to(root / "leftImg8bit")).removesuffix(suffix) for file in found]
    parts = _parts(root)
    if not parts:
        raise UserError(f"Cityscapes folder {str(root)!r} has images alone; expected gtFine or disparity as well.")
    must_exist("Cityscapes", root, (_file(root, part, stem) for part in parts for stem in stems))
    return stems


def _parts(root: pathlib.Path) -> list[str]:
    parts = [part for part in _PARTS if (root / part).is_dir()]
    if "disparity" in parts and "camera" not in parts:
        raise UserError(f"Cityscapes folder {str(root)!r} has disparity without camera: depth wants both.")
    return parts


def _file(root: pathlib.Path, part: str, stem: str) -> pathlib.Path:
    return root / part / f"{stem}_{_PARTS[part]}"


def _example(
    root: pathlib.Path, table: np.ndarray, size: tuple[int, int] | None, max_depth: float, stem: str
) -> Example:
    image = images.colour(root / "leftImg8bit" / f"{stem}_leftImg8bit.png")
    example: Example = {"image": image[None]}
    parts = _parts(root)
    if "gtFine" in parts:
        file = _file(root, "gtFine", stem)
        ids = images.class_ids(file)
        images.must_fit("label image", file, ids, image)
        if (beyond := ids[(ids > _LAST_ID) & (ids != _NO_ID)]).size:
            raise UserError(
                f"label image {str(file)!r} holds the id {beyond[0]}; expected 0 .. {_LAST_ID}, or {_NO_ID}."
            )
        example |= masked("semantic", table[ids], table[ids] >= 0)
    if "camera" in parts:
        intrinsics, baseline = _camera(_file(root, "camera", stem))
        must_be_of(image, intrinsics, str(_file(root, "camera", stem)))
        if "disparity" in parts:
            file = _file(root, "disparity", stem)
            stored = images.grey16(file, "disparity x 256 + 1")
            images.must_fit("disparity", file, stored, image)
            disparity = (stored - 1) / 256
            depth = baseline * intrinsics[0, 0] / np.where(disparity > 0, disparity, np.inf)
            example |= masked("depth", depth.astype(np.float32), (depth > 0) & (depth <= max_depth))
        example["camera"] = still_camera(intrinsics)
    return resized(example, size) if size else example


def _camera(file: pathlib.Path) -> tuple[np.ndarray, float]:
    """(3, 3) intrinsics, for pixel centres at integers + 0.5, and the baseline in metres."""
    try:
        found = json.loads(file.read_text())
        values = [finite(str(found[group][key])) for group, keys in _CAMERA.items() for key in keys]
    except (OSError, ValueError, KeyError, TypeError) as error:
        expected = ", ".join(key for keys in _CAMERA.values() for key in keys)
        raise UserError(f"camera {str(file)!r} cannot be read ({error!r}); expected {expected}.") from error
    fx, fy, u, v, baseline = values
    if min(fx, fy, baseline) <= 0:
        raise UserError(f"camera {str(file)!r} has fx, fy, baseline = {fx:g}, {fy:g}, {baseline:g}; expected above 0.")
    return np.array([[fx, 0, u], [0, fy, v], [0, 0, 1]]) + HALF_A_PIXEL, baseline
