"""Office-31 and Office-Home: one list of things, photographed in several domains."""

import dataclasses
import functools
import pathlib

import numpy as np

from mtljax.data.dataset import Example, Source, checked_split
from mtljax.data.folder import Files
from mtljax.data.meanings import Meaning
from mtljax.data.reading import images
from mtljax.data.reading.decoding import label
from mtljax.data.reading.files import missing_folder
from mtljax.data.reading.text import lines
from mtljax.data.resize import checked_size, resized
from mtljax.errors import UserError, unknown

_SUFFIXES = (".jpg", ".jpeg", ".png")
_SHARES = {"train": (0.0, 0.6), "validation": (0.6, 0.8), "test": (0.8, 1.0)}
_SHORT = {"train": "train", "validation": "val", "test": "test"}  # in the names of lists
_INNER = "images"  # the folder between a domain and its classes, in Office-31


@dataclasses.dataclass(frozen=True)
class Office:
    """See `office`."""

    path: pathlib.Path
    domain: str
    size: tuple[int, int]
    lists: pathlib.Path | None
    seed: int

    @property
    def name(self) -> str:
        """For messages and tables."""
        return f"{self.path.name}/{self.domain}"

    @property
    def meanings(self) -> dict[str, Meaning]:
        """The classes, by name."""
        return {self.domain.lower(): _classes(_domain(self.path, self.domain))}

    def split(self, name: str) -> Source:
        """The images of `train` (three fifths), `validation` or `test` (a fifth each).

        Raises:
            UserError: for an unknown split, or a folder or a list that is missing or malformed.
        """
        checked_split(self.name, name, tuple(_SHARES))
        folder = _domain(self.path, self.domain)
        classes = _classes(folder)
        if self.lists:
            items = _listed(self.path, self.lists / f"{self.domain}_{_SHORT[name]}.txt", len(classes))
        else:
            items = _drawn(folder, classes, _SHARES[name], self.seed)
        return Files(items, functools.partial(_example, self.domain.lower(), self.size))


def office(
    path: str, domain: str, size: tuple[int, int] = (224, 224), lists: str | None = None, seed: int = 0
) -> Office:
    """One domain of Office-31 or Office-Home: images with a class, the label named as the domain in small letters.

    Several domains in one run, a task each, are a `mix`: `mix({'amazon': office('office31', 'amazon'), ...},
    ratio={'amazon': 1, ...}, exact=True)`, as `configs/office.py` has it. The folder holds `amazon/images/CLASS/*.jpg`,
    `dslr`, `webcam` (Office-31, 31 classes), or `Art/CLASS/*.jpg`, `Clipart`, `Product`, `Real World` (Office-Home).

    Args:
        path: of the folder.
        domain: the name of a folder in it.
        size: (height, width) to which images are resized, without a crop.
        lists: folder of `DOMAIN_train.txt`, `DOMAIN_val.txt` and `DOMAIN_test.txt` with lines `PATH CLASS`, as LibMTL
            shares its splits; default: three fifths, a fifth and a fifth of all images, drawn by the seed.
        seed: of that draw.

    Returns:
        A data set with the splits `train`, `validation` and `test`.

    References:
        Saenko et al., Adapting Visual Category Models to New Domains, ECCV 2010; Venkateswara et al., Deep Hashing
        Network for Unsupervised Domain Adaptation, CVPR 2017.

    Example:
        >>> office("data/office31", "amazon").name
        'office31/amazon'
    """
    place = None if lists is None else pathlib.Path(lists).expanduser()
    return Office(pathlib.Path(path).expanduser(), domain, checked_size(size), place, seed)


def _domain(path: pathlib.Path, domain: str) -> pathlib.Path:
    """The folder of a domain's classes."""
    if not path.is_dir():
        raise missing_folder("Office", path)
    there = sorted(child.name for child in path.iterdir() if child.is_dir())
    if domain not in there:
        raise unknown(f"domain of Office folder {str(path)!r}:", domain, there)
    return path / domain / _INNER if (path / domain / _INNER).is_dir() else path / domain


def _classes(folder: pathlib.Path) -> tuple[str, ...]:
    found = tuple(sorted(child.name for child in folder.iterdir() if child.is_dir() and child.name[0] != "."))
    if len(found) < 2:
        raise UserError(f"Office folder {str(folder)!r} has {len(found)} classes; expected a folder for each.")
    return found


def _drawn(
    folder: pathlib.Path, classes: tuple[str, ...], share: tuple[float, float], seed: int
) -> tuple[tuple[pathlib.Path, int], ...]:
    """The images of one part of all, in the order of their names, each with its class."""
    items = [
        (file, i)
        for i, name in enumerate(classes)
        for file in sorted((folder / name).iterdir())
        if file.suffix.lower() in _SUFFIXES
    ]
    first, last = (round(bound * len(items)) for bound in share)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(items))[first:last])
    if not chosen.size:
        raise UserError(f"Office folder {str(folder)!r} has {len(items)} images: too few for three parts.")
    return tuple(items[i] for i in chosen)


def _listed(path: pathlib.Path, file: pathlib.Path, classes: int) -> tuple[tuple[pathlib.Path, int], ...]:
    """The images of a list, each with its class."""
    found = []
    for number, line in enumerate(lines(file), 1):
        if not line.strip():
            continue
        image, _, kind = line.strip().rpartition(" ")
        if not kind.isdecimal() or not (path / image).is_file():
            raise UserError(f"{str(file)!r}, line {number}: {line!r}; expected an image in {str(path)!r} and a class.")
        if int(kind) >= classes:
            raise UserError(f"{str(file)!r}, line {number}: class {kind}; there are folders of {classes}, from 0 on.")
        found.append((path / image, int(kind)))
    if not found:
        raise UserError(f"{str(file)!r} lists no images.")
    return tuple(found)


def _example(name: str, size: tuple[int, int], item: tuple[pathlib.Path, int]) -> Example:
    file, kind = item
    return resized({"image": images.colour(file)[None], **label(name, kind)}, size)
