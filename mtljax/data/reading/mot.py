"""Files of MOTChallenge: what a sequence is, and rows of boxes."""

import configparser
import dataclasses
import pathlib

import numpy as np

from mtljax.data.reading.text import finite, lines
from mtljax.errors import UserError

_LAYOUT = "expected MOTChallenge's layout: seqinfo.ini, img1/, gt/gt.txt."
_COLUMNS = ("frame", "id", "left", "top", "width", "height")


@dataclasses.dataclass(frozen=True)
class SequenceInfo:
    """What `seqinfo.ini` says.

    Attributes:
        name: of the sequence.
        folder: of its images, within the sequence's.
        rate: frames a second.
        length: frames.
        width: of an image, in pixels.
        height: of an image, in pixels.
        ending: of an image's name.
    """

    name: str
    folder: str
    rate: float
    length: int
    width: int
    height: int
    ending: str


@dataclasses.dataclass(frozen=True)
class Boxes:
    """Rows of boxes.

    Attributes:
        frame: (N,) int, from 1.
        id: (N,) int.
        box: (N, 4) float64, [left, top, width, height] in pixels.
        more: (N, n) float64, the columns after these.
    """

    frame: np.ndarray
    id: np.ndarray
    box: np.ndarray
    more: np.ndarray


def read_info(folder: pathlib.Path) -> SequenceInfo:
    """What a sequence's `seqinfo.ini` says.

    Raises:
        UserError: where it is not there, or a key of it is not or is no number.
    """
    file = folder / "seqinfo.ini"
    if not file.is_file():
        raise UserError(f"{str(folder)!r}: no seqinfo.ini; {_LAYOUT}")
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string("\n".join(lines(file)))
    except configparser.Error as error:
        raise UserError(f"{str(file)!r} is no ini file: {str(error).splitlines()[0]}") from error
    found = parser["Sequence"] if parser.has_section("Sequence") else {}
    wanted = ("name", "imDir", "frameRate", "seqLength", "imWidth", "imHeight", "imExt")
    if lacking := [key for key in wanted if key not in found]:
        raise UserError(f"{str(file)!r}: no {lacking[0]} in [Sequence]; {_LAYOUT}")

    def whole(key: str) -> int:
        if not found[key].isdecimal() or int(found[key]) < 1:
            raise UserError(f"{str(file)!r}: {key}={found[key]}; expected a whole number, at least 1.")
        return int(found[key])

    try:
        rate = finite(found["frameRate"])
    except ValueError as error:
        raise UserError(f"{str(file)!r}: frameRate: {error}.") from None
    size = whole("imWidth"), whole("imHeight")
    return SequenceInfo(found["name"], found["imDir"], rate, whole("seqLength"), *size, found["imExt"])


def read_boxes(file: pathlib.Path, length: int, ids: bool = True) -> Boxes:
    """The rows of `gt.txt`, `det.txt` or a tracker's results.

    Args:
        file: rows `frame, id, left, top, width, height, ...`, separated by commas.
        length: frames of the sequence.
        ids: whether ids tell objects apart: none may be twice in a frame. In `det.txt` they are all -1.

    Raises:
        UserError: where a row has too few columns or not as many as the first, a word that is no number, a frame out
            of range, no width or height, or an id that is in the frame already: the file and the line.
    """
    rows, seen = [], {}
    for number, line in enumerate(lines(file), 1):
        if not line.strip():
            continue
        row = _row(line, f"{str(file)!r}, line {number}", length)
        if rows and len(row) != len(rows[0]):
            first = f"expected {len(rows[0])}, as the first row has"
            raise UserError(f"{str(file)!r}, line {number}: {len(row)} columns; {first}.")
        key = row[0], row[1]
        if ids and (before := seen.setdefault(key, number)) != number:
            already = f"id {row[1]:g} is in frame {row[0]:g} already, in line {before}"
            raise UserError(f"{str(file)!r}, line {number}: {already}.")
        rows.append(row)
    found = np.array(rows, np.float64).reshape(len(rows), len(rows[0]) if rows else len(_COLUMNS))
    return Boxes(found[:, 0].astype(int), found[:, 1].astype(int), found[:, 2:6], found[:, 6:])


def _row(line: str, where: str, length: int) -> list[float]:
    """The numbers of a row."""
    words = [word.strip() for word in line.split(",")]
    if len(words) < len(_COLUMNS):
        raise UserError(f"{where}: {len(words)} columns; expected at least {', '.join(_COLUMNS)}.")
    try:
        row = [finite(word) for word in words]
    except ValueError as error:
        raise UserError(f"{where}: {error}.") from None
    for name, value in zip(_COLUMNS[:2], row, strict=False):
        if value != int(value):
            raise UserError(f"{where}: {name} {value:g}; expected a whole number.")
    if abs(row[1]) > np.iinfo(np.int32).max:
        raise UserError(f"{where}: id {row[1]:g}; expected a whole number of 32 bits.")
    if not 1 <= row[0] <= length:
        raise UserError(f"{where}: frame {row[0]:g}; expected 1 to seqLength={length}.")
    if min(row[4:6]) <= 0:
        raise UserError(f"{where}: width {row[4]:g} and height {row[5]:g}; expected more than 0.")
    return row
