"""CelebA: faces and forty things to tell of each."""

import dataclasses
import functools
import pathlib

import numpy as np

from mtljax.data.dataset import Example, Source, checked_split
from mtljax.data.folder import Files
from mtljax.data.meanings import Meaning
from mtljax.data.reading import images
from mtljax.data.reading.files import missing_folder
from mtljax.data.reading.text import lines
from mtljax.data.resize import checked_size, resized
from mtljax.errors import UserError

_IMAGES, _LABELS, _SPLIT = "img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt"
_PLACES = {_IMAGES: ("", "Img"), _LABELS: ("", "Anno"), _SPLIT: ("", "Eval")}
_NUMBERS = {"train": "0", "validation": "1", "test": "2"}
_ATTRIBUTES = 40


@dataclasses.dataclass(frozen=True)
class CelebA:
    """See `celeba`."""

    path: pathlib.Path
    size: tuple[int, int]

    @property
    def name(self) -> str:
        """For messages and tables."""
        return f"celeba/{self.path.name}"

    @property
    def meanings(self) -> dict[str, Meaning]:
        """What labels mean: a sentence each; the names are those of the file."""
        return {name: f"{name} of CelebA, 0 or 1" for name in attributes(self.path)}

    def split(self, name: str) -> Source:
        """The faces of `train` (162,770), `validation` (19,867) or `test` (19,962).

        Raises:
            UserError: for an unknown split, or files that are missing or malformed.
        """
        checked_split(self.name, name, tuple(_NUMBERS))
        names, rows = _table(self.path)
        folder, chosen = _place(self.path, _IMAGES), _parts(self.path)
        items = tuple(row for row in rows if chosen.get(row[0]) == _NUMBERS[name])
        lacking = [file for file, _ in rows if file not in chosen]
        if lacking:
            raise UserError(f"{str(_place(self.path, _SPLIT))!r} does not list {lacking[0]}, as {_LABELS} does.")
        if not items:
            raise UserError(f"{str(_place(self.path, _SPLIT))!r} has no images of the part {_NUMBERS[name]} ({name}).")
        if not (folder / items[0][0]).is_file():
            raise UserError(f"CelebA folder {str(folder)!r} is half copied: it lacks {items[0][0]}.")
        return Files(items, functools.partial(_example, folder, names, self.size))


def celeba(path: str, size: tuple[int, int] = (64, 64)) -> CelebA:
    """Faces with forty labels, such as `Smiling` or `Wearing_Hat`: (1,) int32 each, 0 or 1, for `tags(num_tags=1)`.

    The folder holds `img_align_celeba` (178 x 218), `list_attr_celeba.txt` and `list_eval_partition.txt`, side by side
    or in the folders `Img`, `Anno` and `Eval` in which they are shared. The labels' names are those of the file.

    Args:
        path: of the folder.
        size: (height, width) to which images are resized: 64 x 64 in FAMO's protocol, without a crop.

    Returns:
        A data set with the splits `train`, `validation` and `test`, as the file says.

    Raises:
        UserError: for a size that is none.

    References:
        Liu et al., Deep Learning Face Attributes in the Wild, ICCV 2015.

    Example:
        >>> celeba("data/celeba").name
        'celeba/celeba'
    """
    return CelebA(pathlib.Path(path).expanduser(), checked_size(size))


def attributes(path: pathlib.Path) -> tuple[str, ...]:
    """The names of the labels, in the order of the file.

    Raises:
        UserError: where the file is missing or malformed.
    """
    return _table(path)[0]


def _place(path: pathlib.Path, name: str) -> pathlib.Path:
    """Where a file of the data set lies."""
    if not path.is_dir():
        raise missing_folder("CelebA", path)
    for folder in _PLACES[name]:
        if (path / folder / name).exists():
            return path / folder / name
    raise UserError(f"CelebA folder {str(path)!r} has no {name}, nor has its folder {_PLACES[name][1]!r}.")


@functools.lru_cache(maxsize=4)
def _table(path: pathlib.Path) -> tuple[tuple[str, ...], tuple[tuple[str, np.ndarray], ...]]:
    """The labels' names, and of each image its file and flags (40,) int32."""
    file = _place(path, _LABELS)
    text = lines(file)
    names = tuple(text[1].split()) if len(text) > 1 else ()
    if len(names) != _ATTRIBUTES:
        raise UserError(f"{str(file)!r}, line 2: {len(names)} names; expected {_ATTRIBUTES}.")
    rows = []
    for number, line in enumerate(text[2:], 3):
        image, *flags = line.split() or [""]
        if not image:
            continue
        if len(flags) != _ATTRIBUTES or not set(flags) <= {"1", "-1"}:
            raise UserError(f"{str(file)!r}, line {number}: expected an image and {_ATTRIBUTES} of 1 and -1.")
        rows.append((image, np.array([flag == "1" for flag in flags], np.int32)))
    return names, tuple(rows)


def _parts(path: pathlib.Path) -> dict[str, str]:
    """Image -> the number of its part."""
    file = _place(path, _SPLIT)
    parts: dict[str, str] = {}
    for number, line in enumerate(lines(file), 1):
        words = line.split()
        if words and (len(words) != 2 or words[1] not in _NUMBERS.values()):
            raise UserError(f"{str(file)!r}, line {number}: {line!r}; expected an image and 0, 1 or 2.")
        if words:
            parts[words[0]] = words[1]
    return parts


def _example(
    folder: pathlib.Path, names: tuple[str, ...], size: tuple[int, int], item: tuple[str, np.ndarray]
) -> Example:
    file, flags = item
    example: Example = {"image": images.colour(folder / file)[None]}
    for i, name in enumerate(names):
        example |= {name: flags[i : i + 1], f"{name}_valid": np.ones(1, bool)}
    return resized(example, size)
