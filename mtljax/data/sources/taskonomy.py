"""Folders in the layout of Taskonomy, and so of Omnidata's starter data set: rooms with a folder for each task."""

import functools
import pathlib
from typing import Any

import numpy as np

from mtljax.data.dataset import Example, masked
from mtljax.data.folder import Folder
from mtljax.data.reading import images
from mtljax.data.reading.files import missing_folder
from mtljax.data.reading.taskonomy_views import found_views, last_held_out, must_have, officially
from mtljax.data.resize import checked_size, resized
from mtljax.errors import UserError, unknown

CLASSES = ("background", "bottle", "chair", "couch", "potted plant", "bed", "dining table", "toilet", "tv", "microwave",
           "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase")  # fmt: skip
_DEPTH, _NORMAL, _SEMANTIC = "depth_zbuffer", "normal", "segment_semantic"
_EDGES = {"edge_texture": 0.08, "edge_occlusion": 0.00625}  # full strength, of 65535
_NO_DEPTH = 65535


def taskonomy(
    path: str,
    validation: float = 0.2,
    edges: str = "edge_texture",
    edge_strength: float = 0.5,
    size: tuple[int, int] | None = None,
    splits: str | None = None,
) -> Folder:
    """Rooms with those of `depth`, `normal`, `edge` and `semantic` whose folders are there.

    The folder holds `rgb/point_0_view_0_domain_rgb.png` and so on, and beside `rgb` any of

    - `depth_zbuffer`: 16 bit, 1/512 m, 65535 where there is none;
    - `normal`: 8 bit, 127.5 (n + 1), with x right, y down, z towards the camera (z is negated here), grey (128) where
      there is none;
    - `edge_texture` or `edge_occlusion`: 16 bit strengths of edges; those of depth are known where depth is;
    - `segment_semantic`: classes, found by a network: 0 is uncertain and not valid, 1 the background (here 0, as in
      `CLASSES`).

    Each may have the same folders of buildings within: the last buildings are then the validation split; of one
    building, the last points are. All views of a point are in one split.

    Args:
        path: of the folder.
        validation: share of the buildings, or of the points of one building, that is held out.
        edges: the folder of edges that is `edge`.
        edge_strength: from which a pixel is an edge, as a share of the strength that Taskonomy's own training calls
            full: 0.08 of 65535 for texture, 0.00625 for occlusion.
        size: (height, width) to which all is resized, labels by their nearest pixel; default: as it is, 512 x 512.
        splits: a file of Taskonomy's own splits, such as `train_val_test_tiny.csv`, in place of `validation`: rows of
            id,train,val,test with a 1 for each building in one; buildings of `test` are left out.

    Returns:
        A data set with the splits `train` and `validation`.

    Raises:
        UserError: for arguments that cannot be.

    References:
        Zamir et al., Taskonomy: Disentangling Task Transfer Learning, CVPR 2018; Eftekhar et al., Omnidata, ICCV 2021.

    Example:
        >>> taskonomy("data/cauthron").name
        'taskonomy/cauthron'
    """
    if not 0 < validation < 1:
        raise UserError(f"taskonomy(validation={validation}): expected a share between 0 and 1.")
    if edges not in _EDGES:
        raise unknown("folder of edges of taskonomy():", edges, _EDGES)
    if edge_strength <= 0:
        raise UserError(f"taskonomy(edge_strength={edge_strength}): expected more than 0.")
    root = pathlib.Path(path).expanduser()
    threshold = edge_strength * _EDGES[edges] * 65535
    official = None if splits is None else pathlib.Path(splits).expanduser()
    views = functools.partial(_views, root, edges, validation, official)
    read = functools.partial(_example, root, edges, threshold, None if size is None else checked_size(size))
    meanings = {"semantic": CLASSES, "edge": f"from {edge_strength} times Taskonomy's full strength of {edges}"}
    return Folder(f"taskonomy/{root.name}", views, read, meanings)


def _views(root: pathlib.Path, edges: str, validation: float, splits: pathlib.Path | None, split: str) -> list[str]:
    """The images of a split, relative to `rgb`."""
    if not root.is_dir():
        raise missing_folder("Taskonomy", root)
    found = found_views(root)
    parts = _parts(root, edges)
    if not parts:
        raise UserError(f"Taskonomy folder {str(root)!r} has rgb alone; expected {_DEPTH}, {_NORMAL} or so beside it.")
    must_have(root, {part: _domain(part) for part in parts}, [file for views in found.values() for file in views])
    keys = list(found)
    keep = last_held_out(root, keys, validation, split) if splits is None else officially(splits, keys, split)
    return [file for views, kept in zip(found.values(), keep, strict=True) if kept for file in views]


def _parts(root: pathlib.Path, edges: str) -> list[str]:
    return [part for part in (_DEPTH, _NORMAL, edges, _SEMANTIC) if (root / part).is_dir()]


def _domain(part: str) -> str:
    return part.replace("_", "") if part == _SEMANTIC else part


def _file(root: pathlib.Path, part: str, image: str) -> pathlib.Path:
    return root / part / image.replace("_domain_rgb.", f"_domain_{_domain(part)}.")


def _example(root: pathlib.Path, edges: str, threshold: float, size: Any, view: str) -> Example:
    image = images.colour(root / "rgb" / view)
    example: Example = {"image": image[None]}
    parts = _parts(root, edges)

    def part(name: str) -> np.ndarray:
        file = _file(root, name, view)
        read = {_NORMAL: _directions, _SEMANTIC: images.class_ids}.get(name)
        label = read(file) if read else images.grey16(file, "1/512 m" if name == _DEPTH else "strengths of edges")
        images.must_fit(name, file, label, image)
        return label

    measured = True
    if _DEPTH in parts:
        stored = part(_DEPTH)
        measured = stored != _NO_DEPTH
        example |= masked("depth", (stored / 512).astype(np.float32), measured & (stored > 0))
    if _NORMAL in parts:
        normal = (part(_NORMAL) / 127.5 - 1) * np.array([1, 1, -1])
        length = np.linalg.norm(normal, axis=-1, keepdims=True)
        known = length[..., 0] > 0.5
        example |= masked("normal", (normal / np.maximum(length, 0.5)).astype(np.float32), known & measured)
    if edges in parts:
        strength = part(edges)
        known = np.ones(strength.shape, bool) & (measured if edges == "edge_occlusion" else True)
        example |= masked("edge", (strength >= threshold).astype(np.uint8), known)
    if _SEMANTIC in parts:
        stored = part(_SEMANTIC)
        if stored.max() > len(CLASSES):
            raise UserError(
                f"label image {str(_file(root, _SEMANTIC, view))!r} holds {stored.max()}; expected 0 .. {len(CLASSES)}."
            )
        example |= masked("semantic", stored - 1, stored > 0)
    return resized(example, size) if size else example


def _directions(file: pathlib.Path) -> np.ndarray:
    """(h, w, 3) uint8: the three components that are stored as colours."""
    if (mode := images.decoded(file).mode) not in ("RGB", "RGBA"):
        raise UserError(f"normals {str(file)!r} have mode {mode}; expected 8 bit colours: 127.5 (n + 1).")
    return images.colour(file)
