"""A table of labels beside a folder of pictures."""

import csv
import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtljax.data.own import splits
from mtljax.data.own.build import data_set
from mtljax.data.own.kinds import Kind
from mtljax.data.own.rows import Part, Rows
from mtljax.data.reading import text
from mtljax.data.reading.files import missing_folder
from mtljax.errors import UserError, nearest, unknown

_FILE = ("file", "image", "filename", "file_name", "path")  # columns that are taken for file names
_DELIMITERS = ",;\t"
_IMAGE = "image"


def from_table(
    table: str,
    images: str | None = None,
    labels: Mapping[str, Any] | None = None,
    *,
    file: str | None = None,
    features: Sequence[str] = (),
    validation: Any = 0.2,
    split: str | None = None,
    together: str | None = None,
    seed: int = 0,
    size: tuple[int, int] | None = None,
) -> Rows:
    """A data set of pictures in a folder and a table, with a line of labels for each.

    An empty cell is a missing label. Names of classes are sorted, and kept in `meanings`. Rows of one picture are in
    one split, unless `split` says otherwise.

    Args:
        table: a file with a header and commas, semicolons or tabs between cells.
        images: the folder of the pictures; by default the table's.
        labels: column -> its kind: `float` ('float') for numbers, of which `nan`, `NA`, `null` and `none` are none;
            `str` ('str') for classes by name; `int` ('int') for classes by number; a list of names, in the order that
            their numbers shall have; 'tags' for several names with `;`, `|` or `,` between them; 'map' for the file
            name, in `images`, of a picture whose pixels are classes.
        file: column of the pictures' file names; by default that which is called `file`, `image`, `filename`,
            `file_name` or `path`.
        features: columns of numbers that are what a model is given, instead of pictures: `image` is a vector of them.
        validation: the share that is held out, at random; or the name of a second table with those that are.
        split: column of the name of each row's split, `train`, `validation` (or `val`) or another.
        together: column of what must be in one split where it is one, such as a person's name.
        seed: of the share's draw.
        size: (height, width) that all pictures and maps get; else they must have one.

    Returns:
        A data set with the splits `train` and `validation`.

    Raises:
        UserError: for a table or folder that is not there, a column that does not exist, and, with its line, a cell
            that cannot be read and a picture that is not there.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> for i in range(4):
        ...     Image.new("RGB", (6, 4)).save(folder / f"{i}.png")
        >>> lines = ["file,age,kind", "0.png,3.5,owl", "1.png,,finch", "2.png,1,owl", "3.png,2,"]
        >>> _ = (folder / "labels.csv").write_text("\\n".join(lines))
        >>> print(from_table(str(folder / "labels.csv"), labels={"age": float, "kind": str}))
        labels.csv: train 3, validation 1
          age: number; missing in 1 of 4 rows
          kind: classes 0 finch, 1 owl; missing in 1 of 4 rows
    """
    path = pathlib.Path(table).expanduser()
    call = f"from_table({str(table)!r})"
    folder = path.parent if images is None else pathlib.Path(images).expanduser()
    if not folder.is_dir():
        raise missing_folder("pictures'", folder)
    reading = Table(call, folder, file, tuple(features), labels)
    if isinstance(validation, int | float):
        whole = reading.part(path)
        parts = splits.cut(call, whole, validation, split, [together, None if features else _IMAGE], seed)
    elif split or together:
        raise UserError(f"{call}: validation is given; expected no split=... or together=... beside it.")
    else:
        parts = {"train": reading.part(path), "validation": reading.part(pathlib.Path(validation).expanduser())}
    made = data_set(call, path.name, parts, inputs=_IMAGE, labels=labels, decode=None, size=size, all_at_hand=True)
    for part in parts.values():
        _check_cells(call, part, made.reader.kinds)
    return made


@dataclasses.dataclass(frozen=True)
class Table:
    """How lines of a table become rows; attributes as the arguments of `from_table`."""

    call: str
    folder: pathlib.Path
    file: str | None
    features: tuple[str, ...]
    labels: Mapping[str, Any] | None

    def part(self, path: pathlib.Path) -> Part:
        """All rows of a table.

        Raises:
            UserError: where it is not there, or malformed; for columns and files that do not exist.
        """
        header, lines = _lines(path)
        if not isinstance(self.labels, Mapping) or not self.labels:
            listed = ", ".join(header)
            raise UserError(f"{self.call}: no labels; expected some of {listed}: labels={{'age': float, 'kind': str}}.")
        for column in (*self.features, *self.labels, *([self.file] if self.file else [])):
            if column not in header:
                raise unknown(f"column of {str(path)!r}:", str(column), header)
        there = _There(self.folder)
        maps = [column for column, kind in self.labels.items() if kind == "map"]
        name = None if self.features else self._file_column(path, header)
        rows, where = [], f"{str(path)!r}, line"
        for number, cells in lines:
            row: dict[str, Any] = dict(zip(header, cells, strict=True))
            row |= {column: there.file(row[column], f"{where} {number}") for column in maps if row[column].strip()}
            row[_IMAGE] = there.file(row[name], f"{where} {number}") if name else self._vector(row, f"{where} {number}")
            rows.append(row)
        return Part(rows, range(len(rows)), kind=where, numbers=[number for number, _ in lines])

    def _file_column(self, path: pathlib.Path, header: Sequence[str]) -> str:
        if self.file:
            return self.file
        found = [column for column in header if column.lower() in _FILE]
        if len(found) != 1:
            raise UserError(
                f"{str(path)!r}: which column has the pictures' file names? Expected file='...', one of "
                f"{', '.join(header)}; or features=[...], columns of numbers."
            )
        return found[0]

    def _vector(self, row: Mapping[str, str], where: str) -> np.ndarray:
        try:
            return np.array([text.finite(row[column].strip()) for column in self.features], np.float32)
        except ValueError as error:
            raise UserError(f"{where}: {error}; expected one in each of {', '.join(self.features)}.") from None


class _There:
    """The files of a folder and of those in it, each listed once."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._names: dict[pathlib.Path, set[str]] = {}

    def file(self, cell: str, where: str) -> str:
        """The path of a file that a cell names."""
        path = self._folder / cell.strip()
        if path.parent not in self._names:
            there = path.parent.is_dir()
            self._names[path.parent] = {found.name for found in path.parent.iterdir()} if there else set()
        names = self._names[path.parent]
        if not cell.strip() or path.name not in names:
            near = nearest(path.name, names) if cell.strip() else None
            hint = f"; did you mean {near!r}?" if near else "."
            raise UserError(f"{where}: the picture {cell.strip()!r} is not in {str(path.parent)!r}{hint}")
        return str(path)


def _lines(path: pathlib.Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header of a table, and its lines, each with its number."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as opened:
            first = opened.readline()
            opened.seek(0)
            reader = csv.reader(opened, delimiter=max(_DELIMITERS, key=first.count), strict=True)
            lines = [(reader.line_num, cells) for cells in reader if cells]
    except FileNotFoundError:
        near = nearest(path.name, os.listdir(path.parent)) if path.parent.is_dir() else None
        raise UserError(f"table {str(path)!r} does not exist{f'; did you mean {near!r}?' if near else '.'}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"table {str(path)!r} cannot be read: {error}.") from error
    if len(lines) < 2:
        raise UserError(
            f"table {str(path)!r} has {len(lines)} lines; expected names of columns, and a line for each picture."
        )
    header = [name.strip() for name in lines[0][1]]
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise UserError(f"table {str(path)!r} has the column {twice!r} twice.")
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise UserError(
                f"{str(path)!r}, line {number}: {len(cells)} cells; expected {len(header)}, as in the header."
            )
    return header, lines[1:]


def _check_cells(call: str, part: Part, kinds: Mapping[str, Kind]) -> None:
    """Reads all cells but file names once, so that what is wrong is told at the start."""
    for i in range(len(part)):
        for key, kind in kinds.items():
            if kind.what != "map":
                try:
                    kind.read(key, part.row(i)[key])
                except UserError as error:
                    raise UserError(f"{call}, {part.place(i)}: {error}") from error
