"""CamVid: street scenes seen from a car, with a class for every pixel."""

import dataclasses
import itertools
import pathlib

import numpy as np

from mtljax.data.dataset import Example
from mtljax.data.folder import Folder
from mtljax.data.labels.edges import edges_from_classes
from mtljax.data.meanings import BORDERS
from mtljax.data.reading import images
from mtljax.data.reading.files import SHORT, half_copied, missing_folder, must_exist
from mtljax.errors import UserError

Clip = tuple[pathlib.Path, ...]

CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
_VOID = len(CLASSES)


def camvid(path: str, frames: int = 1) -> Folder:
    """CamVid in the layout of SegNet's authors: images of a road scene and the class of every pixel.

    The folder holds `train`, `trainannot`, `val` and `valannot`, of PNG files of the same names: RGB images, and maps
    of class ids 0 .. 10, in the order of `CLASSES`, where 11 is void. Labels: `semantic`, not valid where void, and
    `edge`, 1 where the class differs from that of a 4-neighbour, not valid where it or a 4-neighbour is void.

    Args:
        path: of the folder.
        frames: s of a clip of images listed one after the other in one sequence, which is the part of a file's name
            before the underscore; clips do not overlap. In `train` they are a second apart.

    Returns:
        A data set with the splits `train` and `validation`, the folder `val`.

    Raises:
        UserError: for fewer than one frame.

    References:
        Brostow, Fauqueur and Cipolla, Semantic object classes in video, Pattern Recognition Letters 2009; the 11
        classes are those of Badrinarayanan, Kendall and Cipolla, SegNet, PAMI 2017.

    Example:
        >>> camvid("data/camvid").name, CLASSES[8]
        ('camvid/camvid', 'car')
    """
    if not isinstance(frames, int) or frames < 1:
        raise UserError(f"camvid(frames={frames}): expected a whole number, at least 1.")
    root = pathlib.Path(path).expanduser()
    meanings = {"semantic": CLASSES, "edge": BORDERS}
    return Folder(f"camvid/{root.name}", Clips(root, frames), _example, meanings)


@dataclasses.dataclass(frozen=True)
class Clips:
    """The clips of a folder, by split.

    Attributes:
        root: of the folder.
        frames: of each clip.
    """

    root: pathlib.Path
    frames: int

    def __call__(self, split: str) -> list[Clip]:
        """The images of each clip."""
        folder, s = self.root / SHORT[split], self.frames
        sequences = (list(files) for _, files in itertools.groupby(_files(self.root, folder), _sequence))
        clips = [tuple(files[i : i + s]) for files in sequences for i in range(0, len(files) - s + 1, s)]
        if not clips:
            raise UserError(f"camvid folder {str(folder)!r} has no sequence of {s} images.")
        return clips


def _sequence(file: pathlib.Path) -> str:
    return file.name.partition("_")[0]


def _files(root: pathlib.Path, folder: pathlib.Path) -> list[pathlib.Path]:
    """The images, each with its annotation."""
    if not root.is_dir():
        raise missing_folder("camvid", root)
    parts = (folder, _annotations(folder))
    if lacking := [part.name for part in parts if not part.is_dir()]:
        raise half_copied("camvid", root, lacking)
    names = sorted({file.name for part in parts for file in part.glob("*.png")})
    if not names:
        raise UserError(f"camvid folder {str(folder)!r} has no images (*.png).")
    must_exist("camvid", root, (part / name for part in parts for name in names))
    return [folder / name for name in names]


def _annotations(folder: pathlib.Path) -> pathlib.Path:
    return folder.with_name(f"{folder.name}annot")


def _example(clip: Clip) -> Example:
    return images.stacked([_frame(file) for file in clip], clip[0].parent)


def _frame(file: pathlib.Path) -> Example:
    image = images.colour(file)
    annotation = _annotations(file.parent) / file.name
    classes = _classes(annotation)
    images.must_fit("annotation", annotation, classes, image)
    valid = classes != _VOID
    edge, edge_valid = edges_from_classes(classes, valid)
    return {
        "image": image,
        "semantic": np.where(valid, classes, 0)[..., None],
        "semantic_valid": valid[..., None],
        "edge": edge[..., None],
        "edge_valid": edge_valid[..., None],
    }


def _classes(file: pathlib.Path) -> np.ndarray:
    """(h, w) int32 class ids."""
    classes = images.class_ids(file, "annotation", "8 bit class ids")
    if classes.max() > _VOID:
        raise UserError(
            f"annotation {str(file)!r} holds the class {classes.max()}; expected 0 to {_VOID - 1}, or {_VOID} for void."
        )
    return classes
