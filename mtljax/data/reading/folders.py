"""What readers of folders share: examples read by a function, and label images."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np

from mtljax.data.dataset import Example, Source
from mtljax.data.labels.relabel import Meaning
from mtljax.data.reading import images
from mtljax.errors import UserError, unknown

SPLITS = ("train", "validation")


@dataclasses.dataclass(frozen=True)
class Folder:
    """A data set with the splits `train` and `validation`.

    Attributes:
        name: for messages and tables.
        items: name of a split -> what each of its examples is read from.
        read: such an item -> the example.
        meanings: of its labels, see `DataSet`.
    """

    name: str
    items: Callable[[str], Sequence[Any]]
    read: Callable[[Any], Example]
    meanings: Mapping[str, Meaning] = dataclasses.field(default_factory=dict)

    def split(self, name: str) -> Source:
        """The examples of `train` or `validation`.

        Raises:
            UserError: for an unknown split, or a folder that is missing, empty, half copied or malformed.
        """
        if name not in SPLITS:
            raise unknown(f"split of {self.name}:", name, SPLITS)
        return Files(tuple(self.items(name)), self.read)


@dataclasses.dataclass(frozen=True)
class Files:
    """Examples by index.

    Attributes:
        items: what each example is read from.
        read: such an item -> the example.
    """

    items: Sequence[Any]
    read: Callable[[Any], Example]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: SupportsIndex) -> Example:
        if not 0 <= int(index) < len(self):
            raise IndexError(index)
        return self.read(self.items[int(index)])


def must_exist(kind: str, path: pathlib.Path, wanted: Iterable[pathlib.Path]) -> None:
    """Checks that a folder has all the files that belong together; each of their folders is listed once.

    Raises:
        UserError: where some are not there.
    """
    there: dict[pathlib.Path, set[str]] = {}
    lacking = []
    for file in wanted:
        if file.parent not in there:
            there[file.parent] = {f.name for f in file.parent.iterdir()} if file.parent.is_dir() else set()
        if file.name not in there[file.parent]:
            lacking.append(str(file.relative_to(path)))
    if lacking:
        raise images.half_copied(kind, path, lacking)


def grey16(file: pathlib.Path, meaning: str, kind: str = "image") -> np.ndarray:
    """The values of a grey image of 16 bits: (h, w) int32.

    Args:
        file: of the image.
        meaning: of its values, for messages.
        kind: of image, likewise.

    Raises:
        UserError: where the file does not decode, or is another kind of image.
    """
    image = images.decoded(file)
    if image.mode not in ("I;16", "I;16B", "I;16L", "I"):
        raise UserError(f"{kind} {str(file)!r} has mode {image.mode}; expected 16 bit grey: {meaning}.")
    return images.grey_of_16_bits(file, image)


def still_camera(intrinsics: np.ndarray) -> dict[str, np.ndarray]:
    """The `camera` of a single image without a pose: at the origin of its own frame."""
    pose = {"positions": np.zeros((1, 3), np.float32), "quaternions": np.array([[1, 0, 0, 0]], np.float32)}
    return pose | {"intrinsics": intrinsics.astype(np.float32)}
