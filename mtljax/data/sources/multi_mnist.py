"""MultiMNIST: two overlaid handwritten digits, to be read both."""

import dataclasses
import functools
import gzip
import pathlib
import zlib
from collections.abc import Callable
from typing import SupportsIndex

import numpy as np

from mtljax.data.dataset import SPLITS, Example, Source, checked_split
from mtljax.data.meanings import Meaning
from mtljax.data.sources.tfds import tfds
from mtljax.errors import UserError

_SIDE, _SHIFT = 28, 6  # pixels of a digit, and how far the right one is moved down and right
_MEAN, _STD = 0.1307, 0.3081
_HELD_OUT = 6  # where there are no test files, the last of so many parts is held out
_MAGIC = {3: 2051, 1: 2049}  # axes of an idx file of bytes -> its first number

Digit = tuple[np.ndarray, int]


@dataclasses.dataclass(frozen=True)
class MultiMnist:
    """See `multi_mnist`."""

    path: pathlib.Path | None
    data_dir: str | None
    seed: int

    @property
    def name(self) -> str:
        """For messages and tables."""
        return "multi_mnist" if self.path is None else f"multi_mnist/{self.path.name}"

    @property
    def meanings(self) -> dict[str, Meaning]:
        """What labels mean."""
        return dict.fromkeys(("left", "right"), tuple(map(str, range(10))))

    def split(self, name: str) -> Source:
        """The pairs of `train` or `validation`; the digits of one are never in the other.

        Raises:
            UserError: for an unknown split, or files that are missing or damaged.
        """
        checked_split(self.name, name)
        count, digit = self._from_tfds(name) if self.path is None else _from_files(self.path, name)
        partners = np.random.default_rng([self.seed, SPLITS.index(name)]).permutation(count)
        return MultiMnistSource(digit, partners)

    def _from_tfds(self, name: str) -> tuple[int, Callable[[int], Digit]]:
        source = tfds("mnist", keys={"image": "image", "digit": "label"}, data_dir=self.data_dir).split(name)
        return len(source), functools.partial(_digit_of_source, source)


def multi_mnist(path: str | None = None, seed: int = 0, data_dir: str | None = None) -> MultiMnist:
    """Pairs of MNIST digits on one image: one at the upper left, one at the lower right, overlapping.

    The left digit stands at [0:28] of a 36 x 36 canvas on both axes, the right one at [6:34]; where they overlap the
    brighter pixel counts; the canvas is resized to 28 x 28 by the nearest pixel. Every digit is the left one of one
    pair, with a random partner of the same split. An example is `image` (1, 28, 28, 1) float32, normalised by MNIST's
    mean 0.1307 and standard deviation 0.3081, and the classes `left` and `right`.

    Args:
        path: of a folder of MNIST's files, `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, each with or
            without `.gz`; `t10k-...` beside them are the validation split, or else the last sixth of the training
            digits is. By default the digits come from TensorFlow Datasets' `mnist`.
        seed: of the pairs.
        data_dir: where TensorFlow Datasets keeps its data.

    Returns:
        A data set with the splits `train` and `validation`.

    Raises:
        UserError: for both `path` and `data_dir`.

    References:
        Sener and Koltun, Multi-Task Learning as Multi-Objective Optimization, NeurIPS 2018, section 5.1, after Sabour,
        Frosst and Hinton, Dynamic Routing Between Capsules, NeurIPS 2017.

    Example:
        >>> multi_mnist("data/mnist").name
        'multi_mnist/mnist'
    """
    if path is not None and data_dir is not None:
        raise UserError("multi_mnist(...): give `path`, a folder of idx files, or `data_dir`, that of TFDS, not both.")
    return MultiMnist(None if path is None else pathlib.Path(path).expanduser(), data_dir, seed)


@dataclasses.dataclass(frozen=True)
class MultiMnistSource:
    """Pairs by index.

    Attributes:
        digit: index -> (28, 28) uint8 and its class.
        partners: (N,) index of each digit's partner.
    """

    digit: Callable[[int], Digit]
    partners: np.ndarray

    def __len__(self) -> int:
        return len(self.partners)

    def __getitem__(self, index: SupportsIndex) -> Example:
        if not 0 <= int(index) < len(self):
            raise IndexError(index)
        left, left_class = self.digit(int(index))
        right, right_class = self.digit(int(self.partners[int(index)]))
        image = (overlay(left, right).astype(np.float32) / 255 - _MEAN) / _STD
        valid = np.array(True)
        return {
            "image": image[None, :, :, None].astype(np.float32),
            "left": np.int32(left_class),
            "left_valid": valid,
            "right": np.int32(right_class),
            "right_valid": valid,
        }


def overlay(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two digits on one canvas: (28, 28) and (28, 28) uint8 -> (28, 28) uint8.

    Example:
        >>> shown = overlay(np.full((28, 28), 200, np.uint8), np.full((28, 28), 100, np.uint8))
        >>> print(shown[0, 0], shown[14, 14], shown[-3, -3], shown[-1, -1])
        200 200 100 0
    """
    canvas = np.zeros((36, 36), np.uint8)
    canvas[:_SIDE, :_SIDE] = left
    lower = canvas[_SHIFT : _SHIFT + _SIDE, _SHIFT : _SHIFT + _SIDE]
    np.maximum(lower, right, out=lower)
    # The pixel whose centre is nearest to that of the smaller image.
    nearest = ((np.arange(_SIDE) + 0.5) * 36 / _SIDE).astype(int)
    return canvas[np.ix_(nearest, nearest)]


def _digit_of_source(source: Source, index: int) -> Digit:
    example = source[index]
    return example["image"][0, :, :, 0], int(example["digit"])


def _digit_of_arrays(images: np.ndarray, labels: np.ndarray, index: int) -> Digit:
    return images[index], int(labels[index])


def _from_files(path: pathlib.Path, split: str) -> tuple[int, Callable[[int], Digit]]:
    if not path.is_dir():
        raise UserError(f"MNIST folder {str(path)!r} does not exist.")
    tested = any(path.glob("t10k-images-idx3-ubyte*"))
    images, labels = _digits(path, "t10k" if tested and split == "validation" else "train")
    held_out = len(images) // _HELD_OUT
    if not tested and held_out == 0:
        raise UserError(f"MNIST folder {str(path)!r} holds {len(images)} digits: too few to hold some out.")
    if not tested:
        part = slice(None, -held_out) if split == "train" else slice(-held_out, None)
        images, labels = images[part], labels[part]
    return len(images), functools.partial(_digit_of_arrays, images, labels)


def _digits(path: pathlib.Path, stem: str) -> tuple[np.ndarray, np.ndarray]:
    images, labels = _idx(path, f"{stem}-images-idx3-ubyte", 3), _idx(path, f"{stem}-labels-idx1-ubyte", 1)
    if len(images) != len(labels):
        raise UserError(f"MNIST folder {str(path)!r}: {len(images)} {stem} images, but {len(labels)} labels.")
    if images.shape[1:] != (_SIDE, _SIDE):
        raise UserError(f"MNIST folder {str(path)!r}: images of {images.shape[1:]} pixels; expected 28 x 28.")
    return images, labels


@functools.lru_cache(maxsize=4)
def _idx(path: pathlib.Path, name: str, axes: int) -> np.ndarray:
    """The bytes of an idx file: four for its kind, four for the length of each axis, then the elements."""
    files = [file for file in (path / name, path / f"{name}.gz") if file.is_file()]
    if not files:
        raise UserError(f"MNIST folder {str(path)!r} lacks {name} (or {name}.gz).")
    try:
        raw = gzip.decompress(files[0].read_bytes()) if files[0].suffix == ".gz" else files[0].read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{str(files[0])!r} cannot be read: {error}.") from error
    header = np.frombuffer(raw[: 4 + 4 * axes], ">u4", count=min(1 + axes, len(raw) // 4))
    if len(header) <= axes or header[0] != _MAGIC[axes]:
        raise UserError(f"{str(files[0])!r} is no idx file of bytes with {axes} axes.")
    shape = tuple(map(int, header[1:]))
    if len(raw) - 4 * len(header) != np.prod(shape):
        raise UserError(
            f"{str(files[0])!r} is damaged: it names {'x'.join(map(str, shape))} bytes, "
            f"but holds {len(raw) - 4 * len(header)}."
        )
    return np.frombuffer(raw, np.uint8, offset=4 * len(header)).reshape(shape)
