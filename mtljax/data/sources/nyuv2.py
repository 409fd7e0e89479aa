"""NYU Depth v2 in the layout of three tasks that multi-task papers share: arrays of 288 x 384 pixels."""

import functools
import pathlib

import numpy as np

from mtljax.data.dataset import Example, masked
from mtljax.data.folder import Folder
from mtljax.data.labels.normals import normals_from_depth
from mtljax.data.reading import images
from mtljax.data.reading.arrays import numbered, numbers, unit_range
from mtljax.data.reading.files import SHORT, missing_folder, must_exist
from mtljax.errors import UserError
from mtljax.geometry.camera import pinhole

CLASSES = 13
_PARTS = {"image": 3, "label": 0, "depth": 1, "normal": 3}  # channels
_FOCAL = 0.93  # of the image's width, about: for the direction of normals, which wants no more
_SAMPLED = 12  # images from which the axes of the normals are found
_AGREEMENT = 0.3  # least correlation of an axis with that of the normals of the depth maps


def nyuv2(path: str) -> Folder:
    """Rooms with `semantic` (13 classes), `depth` (metres) and `normal`, as MTAN and LibMTL read them.

    The folder holds `train` (795 images) and `val` (654), each with `image`, `label`, `depth` and `normal`, and these
    `0.npy`, `1.npy`, ...: images (h, w, 3) in [0, 1]; classes (h, w), -1 where there is none; depth (h, w, 1), 0 where
    there is none; normals (h, w, 3), 0 where there are none.

    The normals' frame is documented nowhere (they are those of Eigen and Fergus 2015, resized), so that each axis is
    turned, once for a folder, to the side on which it agrees with normals fitted to the depth maps.

    Args:
        path: of the folder.

    Returns:
        A data set with the splits `train` and `validation`.

    References:
        Silberman et al., Indoor Segmentation and Support Inference from RGBD Images, ECCV 2012. The layout: Liu et
        al., End-to-End Multi-Task Learning with Attention, CVPR 2019.

    Example:
        >>> nyuv2("data/nyuv2").name
        'nyuv2'
    """
    root = pathlib.Path(path).expanduser()
    meanings = {"semantic": f"the {CLASSES} classes of NYUv2"}
    return Folder(root.name, functools.partial(_images, root), _example, meanings)


def _images(root: pathlib.Path, split: str) -> list[pathlib.Path]:
    folder = root / SHORT[split]
    if not root.is_dir():
        raise missing_folder("NYUv2", root)
    found = numbered("NYUv2", folder)
    must_exist("NYUv2", folder, (folder / part / f.name for part in _PARTS for f in found))
    return found


def _example(file: pathlib.Path) -> Example:
    image = _array(file)
    label, depth, normal = (_label(file, part, image) for part in ("label", "depth", "normal"))
    if label.max() >= CLASSES or (label != np.round(label)).any():
        raise UserError(f"{str(_beside(file, 'label'))!r} holds {label.max():g}; expected classes 0 .. {CLASSES - 1}.")
    unit, normal_valid = _unit(normal)
    return {
        "image": unit_range(file, image)[None],
        **masked("semantic", label.astype(np.int32), label >= 0),
        **masked("depth", depth.astype(np.float32), depth[..., 0] > 0),
        **masked("normal", (unit * _axes(file.parent.parent)).astype(np.float32), normal_valid[..., 0]),
    }


@functools.lru_cache(maxsize=8)
def _axes(folder: pathlib.Path) -> np.ndarray:
    """(3,) signs that turn a folder's normals into the camera's frame, x right, y down, z forward, towards it."""
    files = sorted((folder / "image").glob("*.npy"))
    products, ours_squared, theirs_squared = np.zeros(3), np.zeros(3), np.zeros(3)
    for file in files[:: -(-len(files) // _SAMPLED)]:
        image = _array(file)
        depth, (theirs, theirs_valid) = _label(file, "depth", image)[..., 0], _unit(_label(file, "normal", image))
        h, w = depth.shape
        ours, known = normals_from_depth(depth, depth > 0, pinhole(_FOCAL * w, h, w))
        both = known & theirs_valid[..., 0]
        products += np.sum(ours[both] * theirs[both], axis=0)
        ours_squared += np.sum(ours[both] ** 2, axis=0)
        theirs_squared += np.sum(theirs[both] ** 2, axis=0)
    correlation = products / np.maximum(np.sqrt(ours_squared * theirs_squared), 1e-9)
    if np.min(np.abs(correlation)) < _AGREEMENT:
        raise UserError(
            f"the normals in {str(folder / 'normal')!r} do not agree with the depth maps beside them, along x, y and z "
            f"by {', '.join(f'{c:.2f}' for c in correlation)} (1 or -1 where they do): their frame cannot be told."
        )
    return np.sign(correlation)


def _unit(normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors, 0 where there are none, and their mask."""
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    valid = length > 0.5  # resizing has mixed some of them
    return np.where(valid, normal / np.where(valid, length, 1), 0), valid


def _beside(file: pathlib.Path, part: str) -> pathlib.Path:
    return file.parent.parent / part / file.name


def _label(file: pathlib.Path, part: str, image: np.ndarray) -> np.ndarray:
    label = _array(_beside(file, part)).astype(np.float64)
    images.must_fit(part, _beside(file, part), label, image)
    return label


def _array(file: pathlib.Path) -> np.ndarray:
    return numbers(file, _PARTS[file.parent.name])
