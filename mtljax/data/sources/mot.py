"""MOTChallenge: street scenes with the tracks of their pedestrians."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

import numpy as np

from mtljax.data.dataset import Example
from mtljax.data.fit import fitted
from mtljax.data.folder import Folder
from mtljax.data.labels.objects import OBJECTS, checked_objects, in_sequence, padded
from mtljax.data.reading import images
from mtljax.data.reading.files import missing_folder
from mtljax.data.reading.mot import Boxes, SequenceInfo, read_boxes, read_info
from mtljax.data.resize import checked_size
from mtljax.errors import UserError

_WANTED = 1  # class of pedestrians in MOT16 and later
_IGNORED = (2, 6, 7, 8, 12)  # on vehicles, static, distractors, reflections; 6 in MOT20
_CLASSED = 3  # columns after the box in MOT16 and later: confidence, class, visibility


@dataclasses.dataclass(frozen=True)
class Street:
    """A sequence.

    Attributes:
        folder: of it.
        info: what `seqinfo.ini` says.
        truth: the rows of `gt/gt.txt` that are wanted or ignored.
        ignored: (N,) bool.
        first: `frame_index` of its first frame.
        number: its `sequence`.
    """

    folder: pathlib.Path
    info: SequenceInfo
    truth: Boxes
    ignored: np.ndarray
    first: int
    number: int


def mot(
    path: str,
    sequences: Sequence[str],
    frames: int = 2,
    stride: int | None = None,
    size: tuple[int, int] = (128, 128),
    objects: int = OBJECTS,
) -> Folder:
    """Clips of pedestrians with their tracks: `instances`, whose `id` is the same in all clips of a sequence.

    The first half of each sequence trains, the second is the validation split (Zhou et al. 2020). Of MOT15 all rows are
    pedestrians, of MOT16 and later those of class 1; `ignored` are rows of confidence 0 and people on vehicles, that do
    not move, distractors and reflections; other classes are left out. `category` is 1. The columns of images and boxes
    count from 1 in the files.

    Args:
        path: of the folder that holds the sequences.
        sequences: their names.
        frames: s of a clip of successive frames.
        stride: frames from the start of a clip to that of the next; default: frames - 1, so that clips overlap by one
            frame and each step from a frame to the next is in one clip. What is left at the end of a half, and too
            short for a clip, is in none.
        size: (height, width) within which frames are shown; they keep their aspect, in the middle of black.
        objects: M, to which the objects of a clip are padded.

    Returns:
        A data set with the splits `train` and `validation`.

    Raises:
        UserError: for arguments that cannot be.

    References:
        Leal-Taixe et al., MOTChallenge 2015; Milan et al., MOT16.

    Example:
        >>> mot("data/MOT17/train", sequences=["MOT17-02-FRCNN"]).name
        'mot/train'
    """
    if not isinstance(frames, int) or frames < 1:
        raise UserError(f"mot(frames={frames!r}): expected a whole number, at least 1.")
    if stride is not None and (not isinstance(stride, int) or not 1 <= stride <= frames):
        raise UserError(f"mot(stride={stride!r}): expected a whole number from 1 to frames={frames}.")
    if isinstance(sequences, str) or not sequences:
        raise UserError("mot: expected some sequences, such as ['MOT17-02-FRCNN', 'MOT17-04-FRCNN'].")
    root = pathlib.Path(path).expanduser()
    clips = functools.partial(_clips, root, tuple(sequences), frames, stride or max(1, frames - 1))
    read = functools.partial(_example, frames, checked_size(size), checked_objects("mot", objects))
    return Folder(f"mot/{root.name}", clips, read, {"category": ("background", "pedestrian")})


def _clips(
    root: pathlib.Path, names: tuple[str, ...], frames: int, stride: int, split: str
) -> list[tuple[Street, int]]:
    """Sequences, and the frame, from 1, at which each of their clips starts."""
    if not root.is_dir():
        raise missing_folder("MOT", root)
    first, found = 0, []
    for number, name in enumerate(names):
        one = _sequence(root / name, first, number)
        half = one.info.length // 2
        begin, end = (1, half + 1) if split == "train" else (half + 1, one.info.length + 1)
        if end - begin < frames:
            raise UserError(f"{str(one.folder)!r}: {end - begin} frames for {split}: too few for clips of {frames}.")
        found += [(one, start) for start in range(begin, end - frames + 1, stride)]
        first += one.info.length + 1  # and so a gap of 2 to the next
    return found


def _sequence(folder: pathlib.Path, first: int, number: int) -> Street:
    if not folder.is_dir():
        raise missing_folder("MOT sequence", folder)
    info = read_info(folder)
    there = len(list((folder / info.folder).glob(f"*{info.ending}")))
    if there < info.length:
        raise UserError(f"{str(folder)!r}: {there} images in {info.folder}; seqLength={info.length}.")
    truth = read_boxes(folder / "gt" / "gt.txt", info.length)
    wanted = ignored = np.zeros(len(truth.id), bool)
    if truth.more.shape[1]:
        ignored = truth.more[:, 0] == 0
    if truth.more.shape[1] == _CLASSED:
        wanted = (truth.more[:, 1] == _WANTED) & ~ignored
        ignored = np.isin(truth.more[:, 1], _IGNORED) | (ignored & (truth.more[:, 1] == _WANTED))
    else:
        wanted = ~ignored
    kept = wanted | ignored
    truth = Boxes(truth.frame[kept], truth.id[kept], truth.box[kept], truth.more[kept])
    return Street(folder, info, truth, ignored[kept], first, number)


def _example(frames: int, size: tuple[int, int], objects: int, clip: tuple[Street, int]) -> Example:
    one, start = clip
    folder = one.folder / one.info.folder
    files = [folder / f"{start + i:06d}{one.info.ending}" for i in range(frames)]
    shots = images.stacked([{"image": images.colour(file)} for file in files], folder)
    if shots["image"].shape[1:3] != (one.info.height, one.info.width):
        height, width = shots["image"].shape[1:3]
        expected = f"{one.info.width} x {one.info.height}"
        raise UserError(f"{str(files[0])!r} is {width} x {height} pixels; its seqinfo.ini says {expected}.")
    index = one.first + start - 1 + np.arange(frames, dtype=np.int32)
    example = {
        **shots,
        **padded(_instances(one, start, frames), objects, f"{str(one.folder)!r}, frame {start}"),
        "frame_index": index,
        "frame_index_valid": np.ones(frames, bool),
        **in_sequence(one.number),
    }
    return fitted(example, size)


def _instances(one: Street, start: int, frames: int) -> Example:
    """The objects of a clip."""
    here = (one.truth.frame >= start) & (one.truth.frame < start + frames)
    names, who = np.unique(one.truth.id[here], return_inverse=True)
    at = one.truth.frame[here] - start
    x, y, w, h = (one.truth.box[here] - [1, 1, 0, 0]).T
    limit = [one.info.height, one.info.width] * 2
    corners = np.stack([y, x, y + h, x + w], axis=-1).clip(0, limit) / limit
    sides = (corners[:, 2:] - corners[:, :2]) * limit[:2]
    seen = np.all(sides > 0, axis=1)
    boxes, visibility = np.zeros((len(names), frames, 4), np.float32), np.zeros((len(names), frames), np.int32)
    boxes[who, at] = np.where(seen[:, None], corners, 0)
    visibility[who, at] = np.ceil(np.prod(sides, axis=1) * seen)
    ignored = np.zeros((len(names), frames), bool)
    ignored[who, at] = one.ignored[here]
    category = np.ones(len(names), np.int32)
    return {"bboxes": boxes, "visibility": visibility, "category": category, "id": names.astype(np.int32),
            "ignored": ignored}  # fmt: skip
