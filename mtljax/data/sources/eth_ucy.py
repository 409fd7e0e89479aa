"""ETH/UCY: paths of pedestrians, seen from above."""

import functools
import pathlib
import sys
from collections.abc import Iterator

import numpy as np

from mtljax.data.dataset import Example
from mtljax.data.folder import Folder
from mtljax.data.reading.files import missing_folder
from mtljax.data.reading.text import finite, lines
from mtljax.errors import UserError, unknown

SCENES = {
    "eth": ("biwi_eth.txt",),
    "hotel": ("biwi_hotel.txt",),
    "univ": ("students001.txt", "students003.txt"),
    "zara1": ("crowds_zara01.txt",),
    "zara2": ("crowds_zara02.txt",),
}
SEEN, PREDICTED = 8, 12
_SPEEDS = (0.4, 1.1)  # of varied paths
_SHORTEST = SEEN + 2  # places of a path that `any_length` takes


def eth_ucy(path: str, test: str = "eth", protocol: str = "full", ahead: bool = False, varied: bool = False) -> Folder:
    """Windows of single pedestrians' paths: `inputs`, of `seen`, 8 places, and `future`, the next 12, in metres.

    Places are 0.4 seconds apart and relative to the last one seen. The files hold `frame pedestrian x y`, in metres.

    Args:
        path: of the folder of text files; those that are not there are left out of the training set, which is told on
            standard error.
        test: the scene that is left out: eth, hotel, univ (two files), zara1 or zara2.
        protocol: `full` (Gupta et al. 2018): each 20 successive frames that a file has, pedestrians that are in all of
            them, where there are two at least. `any_length` (Schoeller et al. 2020): of each pedestrian, from each
            place on, up to 20 of its places, at least 10; gaps do not count, and what lacks of `future` is not valid.
        ahead: whether each window is turned so that the way from the first place seen to the last goes along x. What is
            learned of one scene's directions then holds for another's; distances, and so figures, stay what they are.
        varied: whether the training set has the mirror image of each window as well, and both of them walked at 0.4 to
            1.1 times the speed, drawn once: people do not walk alike in all scenes.

    Returns:
        A data set with the splits `train`, of the other scenes, and `validation`, of the scene that is left out.

    Raises:
        UserError: for an unknown scene or protocol; and, when a split is read, for a folder that is not there, one
            without a file of `test`, or without any of the others, and rows that are not as they should be.

    References:
        Pellegrini et al., You'll never walk alone, ICCV 2009; Lerner et al., Crowds by example, 2007.

    Example:
        >>> eth_ucy("data/eth_ucy", test="hotel").name
        'eth_ucy/hotel'
    """
    if test not in SCENES:
        raise unknown("scene of ETH/UCY", test, SCENES)
    if protocol not in _WINDOWS:
        raise unknown("protocol of ETH/UCY", protocol, _WINDOWS)
    root = pathlib.Path(path).expanduser()
    return Folder(f"eth_ucy/{test}", functools.partial(_paths, root, test, protocol, ahead, varied), _example)


def read_places(file: pathlib.Path) -> np.ndarray:
    """The rows of a file, (N, 4): frame, pedestrian, x, y; by frame.

    Raises:
        UserError: where a row is no four numbers, or a pedestrian is twice in a frame.
    """
    rows, seen = [], {}
    for number, line in enumerate(lines(file), 1):
        if not line.strip():
            continue
        where, words = f"{str(file)!r}, line {number}", line.split()
        try:
            row = [finite(word) for word in words]
        except ValueError as error:
            raise UserError(f"{where}: {error}; expected frame, pedestrian, x and y.") from None
        if len(row) != 4:
            raise UserError(f"{where}: {len(row)} numbers; expected four: frame, pedestrian, x and y.")
        if (before := seen.setdefault(tuple(row[:2]), number)) != number:
            raise UserError(f"{where}: pedestrian {words[1]} is in frame {words[0]} already, in line {before}.")
        rows.append(row)
    found = np.array(rows, np.float64).reshape(-1, 4)
    return found[np.argsort(found[:, 0], kind="stable")]


def full_windows(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Paths (20, 2) over each 20 successive frames of rows (N, 4), of the pedestrians that are in all, if two are."""
    frames, at = np.unique(rows[:, 0], return_inverse=True)
    names, who = np.unique(rows[:, 1], return_inverse=True)
    places = np.full((len(names), len(frames), 2), np.nan)
    places[who, at] = rows[:, 2:]
    for begin in range(len(frames) - SEEN - PREDICTED + 1):
        window = places[:, begin : begin + SEEN + PREDICTED]
        window = window[~np.isnan(window).any(axis=(1, 2))]
        if len(window) >= 2:
            yield from window


def any_windows(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Paths (20, 2) of each pedestrian from each of its places on, of 10 places at least, then NaN."""
    for name in np.unique(rows[:, 1]):
        own = rows[rows[:, 1] == name, 2:]
        for begin in range(len(own) - _SHORTEST + 1):
            window = own[begin : begin + SEEN + PREDICTED]
            yield np.pad(window, ((0, SEEN + PREDICTED - len(window)), (0, 0)), constant_values=np.nan)


_WINDOWS = {"full": full_windows, "any_length": any_windows}


def _paths(root: pathlib.Path, test: str, protocol: str, ahead: bool, varied: bool, split: str) -> list[np.ndarray]:
    """The windows of a split, each (20, 2)."""
    if not root.is_dir():
        raise missing_folder("eth_ucy", root)
    wanted = [test] if split == "validation" else [scene for scene in SCENES if scene != test]
    files = [root / name for scene in wanted for name in SCENES[scene]]
    if split == "train":
        lacking = [file.name for file in files if not file.is_file()]
        files = [file for file in files if file.name not in lacking]
        if files and lacking:
            _tell(root, ", ".join(lacking))
    found = [window for file in files for window in _WINDOWS[protocol](read_places(file))]
    if not found:
        named = ", ".join(file.name for file in files) or "none of the other scenes' files"
        raise UserError(f"eth_ucy folder {str(root)!r} has no window of {SEEN + PREDICTED} frames in {named}.")
    found = [_turned(path) for path in found] if ahead else found
    return _varied(found) if varied and split == "train" else found


@functools.cache  # once for a folder, however often its split is asked for
def _tell(root: pathlib.Path, lacking: str) -> None:
    print(
        f"left out: eth_ucy folder {str(root)!r} lacks {lacking}; the training set is without their paths.",
        file=sys.stderr,
        flush=True,
    )


def _varied(paths: list[np.ndarray]) -> list[np.ndarray]:
    """Paths, their mirror images, and all of these at other speeds; always the same ones."""
    both = paths + [path * [1, -1] for path in paths]
    speeds = np.random.default_rng(0).uniform(*_SPEEDS, len(both))
    return both + [path * speed for path, speed in zip(both, speeds, strict=True)]


def _turned(path: np.ndarray) -> np.ndarray:
    """A path whose way from the first place seen to the last goes along x; as it is where that has no length."""
    x, y = path[SEEN - 1] - path[0]
    length = np.hypot(x, y)
    cos, sin = (x / length, y / length) if length else (1.0, 0.0)
    return path @ np.array([[cos, -sin], [sin, cos]])


def _example(path: np.ndarray) -> Example:
    moved = (path - path[SEEN - 1]).astype(np.float32)
    valid = ~np.isnan(moved[SEEN:]).any(axis=1, keepdims=True)
    return {"inputs": {"seen": moved[:SEEN]}, "future": np.where(valid, moved[SEEN:], 0), "future_valid": valid}
