"""Files of camera poses in KITTI's form."""

import os
import pathlib

import numpy as np

from mtljax.data.reading.text import is_finite, number
from mtljax.errors import UserError
from mtljax.geometry.trajectories import rigid

_NUMBERS = 12
_MOST = 2**53  # whole numbers beyond have no float64 of their own


def read_kitti(file: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """The poses of a text file: a line a frame, the first three rows of its camera-to-world matrix, twelve numbers.

    Estimates are often published with a frame's number in front, from 0, since they lack some frames: `truth[frames]`
    are the true poses beside them. Empty lines are passed over.

    Args:
        file: such as `poses/09.txt` of KITTI odometry.

    Returns:
        frames (N,) int64, increasing: what stands in front, or else 0, 1, 2, ...; and poses (N, 4, 4) float64, as the
        functions of `mtljax.geometry` take them.

    Raises:
        UserError: naming file and line, where there is no file, or a line that is no frame's pose.

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp(), "09.txt")
        >>> _ = file.write_text("4 1 0 0 0 0 1 0 0 0 0 1 2.5")
        >>> frames, poses = read_kitti(file)
        >>> frames, poses[:, :3, 3]
        (array([4]), array([[0. , 0. , 2.5]]))
    """
    path = pathlib.Path(file)
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        raise UserError(f"pose file {str(path)!r} does not exist.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"pose file {str(path)!r} cannot be read: {error}.") from error
    rows = {i: _row(line, f"{str(path)!r}, line {i}") for i, line in enumerate(lines, 1) if line.strip()}
    if not rows:
        raise UserError(f"pose file {str(path)!r} is empty; expected a line of {_NUMBERS} numbers for each frame.")
    width = len(next(iter(rows.values())))
    before = -1
    for i, row in rows.items():
        where = f"{str(path)!r}, line {i}"
        if len(row) != width:
            raise UserError(f"{where} has {len(row)} numbers; the file's first line has {width}.")
        if width > _NUMBERS:
            if row[0] != round(row[0]) or not before < row[0] < _MOST:
                raise UserError(f"{where}: frame {row[0]:g} after {before}; expected whole numbers that increase.")
            before = int(row[0])
    numbers = np.array(list(rows.values()))
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3] = numbers[:, -_NUMBERS:].reshape(-1, 3, 4)
    for i, right in zip(rows, rigid(poses), strict=True):
        if not right:
            raise UserError(
                f"{str(path)!r}, line {i}: the pose is not rigid; expected rows of a camera-to-world matrix."
            )
    return numbers[:, 0].astype(np.int64) if width > _NUMBERS else np.arange(len(rows)), poses


def _row(line: str, where: str) -> np.ndarray:
    """The numbers of a line."""
    words = line.split()
    expected = f"{_NUMBERS} numbers, or {_NUMBERS + 1} with the frame's in front"
    if len(words) not in (_NUMBERS, _NUMBERS + 1):
        raise UserError(f"{where} has {len(words)} numbers; expected {expected}.")
    try:
        row = np.array([number(word) for word in words])
    except ValueError as error:
        raise UserError(f"{where} is no pose: {error}; expected {expected}.") from error
    if not all(map(is_finite, row)):
        raise UserError(f"{where} holds numbers that are not finite.")
    return row
