"""A data set of rows, each a dict of what it shows and its labels as people have them, read when they are asked for."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np

from mtljax.data.dataset import KINDS, Example, Source, checked_split
from mtljax.data.meanings import Meaning
from mtljax.data.own.inputs import image_of, tree_of
from mtljax.data.own.kinds import Kind, as_array
from mtljax.data.own.objects import read_objects
from mtljax.data.reading import decoding
from mtljax.data.resize import resized
from mtljax.errors import UserError, nearest


@dataclasses.dataclass(frozen=True)
class Part:
    """Some rows of a collection.

    Attributes:
        rows: what gives a row by its number.
        indices: of those that are meant.
        names: of the parts of a row that is a tuple.
        kind: what a row is called in messages.
        numbers: of each row of the collection, in messages; by default they count from 0.
    """

    rows: Any = dataclasses.field(repr=False)
    indices: Sequence[int] = dataclasses.field(repr=False)
    names: tuple[str, ...] = ()
    kind: str = "row"
    numbers: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def place(self, index: int) -> str:
        """Where a row stands."""
        at = self.indices[index]
        return f"{self.kind} {at if self.numbers is None else self.numbers[at]}"

    def row(self, index: int) -> Mapping[str, Any]:
        """A row as a dict.

        Raises:
            UserError: where it cannot be read, or is none.
        """
        try:
            row = self.rows[self.indices[index]]
        except UserError:
            raise
        except Exception as error:  # of whatever kind: it is a user's own
            raise UserError(f"{self.place(index)} cannot be read: {type(error).__name__}: {error}") from error
        if isinstance(row, tuple | list) and self.names:
            if len(row) != len(self.names):
                raise UserError(f"{self.place(index)} has {len(row)} parts; expected {len(self.names)}: {self.names}.")
            return dict(zip(self.names, row, strict=True))
        if isinstance(row, Mapping):
            return row
        kind, more = type(row).__name__, ""
        if isinstance(row, tuple | list):
            kind, more = f"{kind} of {len(row)}", "; or names=('image', 'kind', ...), what its parts are"
        raise UserError(
            f"{self.place(index)} is a {kind}; expected a dict such as {{'image': ..., 'kind': ...}}{more}."
        )


@dataclasses.dataclass(frozen=True)
class Reader:
    """How a row becomes an example.

    Attributes:
        call: for messages.
        inputs: key of the picture or the vector, which becomes `image`; or keys of what becomes the tree `inputs`.
        kinds: label -> what it is.
        decode: key -> how numbers are read.
        size: (height, width) that all examples get, or None.
        channels_first: whether arrays of pictures are so.
        keys: of the first row.
        said: label -> kind, of those for which augmentations do more than they would for their shape.
        objects: M, to which the objects of a row are padded, or 0 where rows have none.
        first: the objects of another row, for the form of one that has none.
    """

    call: str
    inputs: str | tuple[str, ...]
    kinds: Mapping[str, Kind]
    decode: Mapping[str, decoding.How] = dataclasses.field(default_factory=dict)
    size: tuple[int, int] | None = None
    channels_first: bool = False
    keys: frozenset[str] = frozenset()
    said: Mapping[str, str] = dataclasses.field(default_factory=dict)
    objects: int = 0
    first: Example | None = None

    def example(self, part: Part, index: int) -> Example:
        """A row's example.

        Raises:
            UserError: with the row's place, the key, what was found and what was expected.
        """
        row = part.row(index)
        try:
            self._check_keys(row)
            if isinstance(self.inputs, str):
                how = self.decode.get(self.inputs)
                example = image_of(self.inputs, row.get(self.inputs), how, self.channels_first)
            else:
                example = tree_of(self.inputs, row)
            for key, kind in self.kinds.items():
                label = kind.read(key, row.get(key), self.decode.get(key)) or _no_map(key, example)
                example |= _masked(key, label, row[f"{key}_valid"]) if f"{key}_valid" in row else label
            for key in [key for key in self.kinds if self.kinds[key].what == "map"]:
                _must_fit(key, example)
            if self.objects:
                example |= read_objects(row, _frames(example), self.objects, self.first)
            return resized(example, self.size, {**KINDS, **self.said}) if self.size else example
        except UserError as error:
            raise UserError(f"{self.call}, {part.place(index)}: {error}") from error

    def _check_keys(self, row: Mapping[str, Any]) -> None:
        """Raises where a label would be missing for a slip in its name."""
        strange = [key for key in row if key not in self.keys and key not in self.kinds]
        for key in self.kinds:
            if strange and key not in row and (near := nearest(key, strange)):
                raise UserError(f"there is no {key!r}, but {near!r}; expected None where there is no label.")


@dataclasses.dataclass(frozen=True, repr=False)
class Rows:
    """A data set of rows, which shows its splits and labels where it is printed.

    Attributes:
        name: for messages and tables.
        parts: split -> its rows.
        reader: of a row.
        meanings: label -> the names of its classes.
        notes: what was counted in its labels, a line each.
    """

    name: str
    parts: Mapping[str, Part]
    reader: Reader
    meanings: Mapping[str, Meaning]
    notes: tuple[str, ...] = ()

    @property
    def kinds(self) -> Mapping[str, str]:
        """Of what kind labels are, for augmentations; see `DataSet`."""
        return self.reader.said

    def split(self, name: str) -> Source:
        """The examples of a split.

        Raises:
            UserError: for an unknown split.
        """
        first = self.parts["train"]
        return RowSource(self.parts[checked_split(self.name, name, self.parts)], self.reader, first)

    def __repr__(self) -> str:
        numbers = ", ".join(f"{split} {len(part)}" for split, part in self.parts.items())
        return "\n  ".join([f"{self.name}: {numbers}", *self.notes])


@dataclasses.dataclass(frozen=True)
class RowSource:
    """The examples of some rows, all in the shapes of the first training example; see `Rows`."""

    part: Part
    reader: Reader
    first: Part

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: SupportsIndex) -> Example:
        if not 0 <= int(index) < len(self):
            raise IndexError(index)
        example = self.reader.example(self.part, int(index))
        for key, shape in self._shapes.items():
            if np.shape(example[key]) != shape:
                raise UserError(self._other(key, int(index), np.shape(example[key]), shape))
        return example

    @functools.cached_property
    def _shapes(self) -> Mapping[str, tuple[int, ...]]:
        example = self.reader.example(self.first, 0)
        return {key: np.shape(value) for key, value in example.items() if not isinstance(value, Mapping)}

    def _other(self, key: str, index: int, found: tuple[int, ...], before: tuple[int, ...]) -> str:
        where = f"{self.reader.call}, {self.part.place(index)}"
        if key != "image" or len(found) != 4 or len(before) != 4 or found[0] != before[0]:
            return f"{where}: {key!r} has shape {found}; that of {self.first.place(0)} has {before}."
        value = self.part.row(index)[str(self.reader.inputs)]
        file = f" {str(value)!r}" if isinstance(value, str) else ""
        return (
            f"{where}: the picture{file} is {found[1]} x {found[2]} (height x width); that of {self.first.place(0)} is "
            f"{before[1]} x {before[2]}. Expected one size, or size=(height, width), which all get."
        )


def _frames(example: Example) -> tuple[int, int, int]:
    """(s, H, W) of a picture."""
    if "image" not in example or np.ndim(example["image"]) != 4:
        raise UserError("'instances' are of pictures; expected one beside them.")
    s, height, width = example["image"].shape[:3]
    return s, height, width


def _no_map(key: str, example: Example) -> Example:
    """A map that is missing, of the picture's size."""
    shape = (*example["image"].shape[:3], 1)
    return {key: np.zeros(shape, np.int32), f"{key}_valid": np.zeros(shape, bool)}


def _must_fit(key: str, example: Example) -> None:
    label, image = example[key].shape[1:3], example["image"].shape[1:3]
    if label != image:
        raise UserError(
            f"the map {key!r} is {label[0]} x {label[1]} (height x width); its picture is {image[0]} x {image[1]}."
        )


def _masked(key: str, label: Example, given: Any) -> Example:
    """A label that is valid where a mask of the row's own is True as well."""
    own, mask = label[f"{key}_valid"], as_array(f"{key}_valid", given)
    if mask.size not in (1, own.size) or not np.isin(mask, (0, 1)).all():
        raise UserError(
            f"'{key}_valid' has shape {mask.shape}, {mask.dtype}; expected bools {own.shape}, as {key!r} has."
        )
    valid = own & (mask.astype(bool).reshape(own.shape) if mask.size == own.size else bool(mask.reshape(())))
    return {key: np.where(valid, label[key], 0).astype(label[key].dtype), f"{key}_valid": np.asarray(valid)}
