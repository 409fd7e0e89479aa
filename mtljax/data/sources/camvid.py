"""CamVid: street scenes seen from a car, with a class for every pixel."""

import dataclasses
import itertools
import pathlib
from collections.abc import Sequence
from typing import SupportsIndex

import numpy as np

from mtljax.data.dataset import Example, Source
from mtljax.data.labels.relabel import BORDERS, Meaning
from mtljax.data.reading import images
from mtljax.errors import UserError, unknown

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
_FOLDERS = {"train": "train", "validation": "val"}


@dataclasses.dataclass(frozen=True)
class CamVid:
    """See `camvid`."""

    path: pathlib.Path
    frames: int

    @property
    def name(self) -> str:
        """The folder's name."""
        return f"camvid/{self.path.name}"

    @property
    def meanings(self) -> dict[str, Meaning]:
        """What labels mean."""
        return {"semantic": CLASSES, "edge": BORDERS}

    def split(self, name: str) -> Source:
        """The clips of `train` or `validation`.

        Raises:
            UserError: for an unknown split, or a folder that is missing, empty or half copied.
        """
        if name not in _FOLDERS:
            raise unknown(f"split of {self.name}:", name, _FOLDERS)
        folder = _FOLDERS[name]
        files = _files(self.path, folder)
        sequences = (list(group) for _, group in itertools.groupby(files, lambda file: file.partition("_")[0]))
        s = self.frames
        clips = [tuple(sequence[i : i + s]) for sequence in sequences for i in range(0, len(sequence) - s + 1, s)]
        if not clips:
            raise UserError(f"camvid folder {str(self.path / folder)!r} has no sequence of {s} images.")
        return CamVidSource(self.path, folder, clips)


def camvid(path: str, frames: int = 1) -> CamVid:
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
    return CamVid(pathlib.Path(path).expanduser(), frames)


@dataclasses.dataclass(frozen=True)
class CamVidSource:
    """Clips of a split, by index.

    Attributes:
        path: of the folder.
        folder: of the images in it.
        clips: names of the files of each.
    """

    path: pathlib.Path
    folder: str
    clips: Sequence[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: SupportsIndex) -> Example:
        if not 0 <= int(index) < len(self):
            raise IndexError(index)
        return images.stacked([self._frame(file) for file in self.clips[int(index)]], self.path / self.folder)

    def _frame(self, file: str) -> Example:
        image = images.colour(self.path / self.folder / file)
        annotation = self.path / f"{self.folder}annot" / file
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


def edges_from_classes(classes: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels whose class differs from that of a 4-neighbour.

    Args:
        classes: (h, w) integers.
        valid: (h, w) bool, where the class is known.

    Returns:
        Edges (h, w) uint8 and their mask (h, w) bool: known where the pixel's class and its 4-neighbours' are.

    Example:
        >>> edge, known = edges_from_classes(np.array([[1, 1, 2, 2, 0]]), np.array([[True] * 4 + [False]]))
        >>> print(edge, known)
        [[0 1 1 0 0]] [[ True  True  True False False]]
    """
    edge, known = np.zeros(classes.shape, bool), valid.copy()
    for here, there in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        differs = classes[here] != classes[there]
        edge[here] |= differs
        edge[there] |= differs
        known[here] &= valid[there]
        known[there] &= valid[here]
    return (edge & known).astype(np.uint8), known


def _files(path: pathlib.Path, folder: str) -> list[str]:
    """The names of the images, each with its annotation."""
    if not path.is_dir():
        raise images.missing_folder("camvid", path)
    parts = (folder, f"{folder}annot")
    lacking = [part for part in parts if not (path / part).is_dir()]
    if lacking:
        raise images.half_copied("camvid", path, lacking)
    names = [{file.name for file in (path / part).glob("*.png")} for part in parts]
    if not names[0] | names[1]:
        raise UserError(f"camvid folder {str(path / folder)!r} has no images (*.png).")
    lacking = [
        f"{part}/{name}"
        for part, mine, theirs in zip(parts, names, reversed(names), strict=True)
        for name in sorted(theirs - mine)
    ]
    if lacking:
        raise images.half_copied("camvid", path, lacking)
    return sorted(names[0])


def _classes(file: pathlib.Path) -> np.ndarray:
    """(h, w) int32 class ids."""
    classes = images.class_ids(file, "annotation", "8 bit class ids")
    if classes.max() > _VOID:
        raise UserError(
            f"annotation {str(file)!r} holds the class {classes.max()}; expected 0 to {_VOID - 1}, or {_VOID} for void."
        )
    return classes
