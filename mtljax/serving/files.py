"""Files to predict for, read ahead; and what is left for each of them: a picture, arrays, plain values."""

import collections
import concurrent.futures
import dataclasses
import glob
import json
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from mtljax.errors import UserError
from mtljax.serving.images import photograph
from mtljax.train.run.workdir import replace_text, replacing

KNOWN = (".jpg", ".jpeg", ".png")
_AHEAD, _THREADS = 16, 2  # clips that are read before they are asked for


@dataclasses.dataclass(frozen=True)
class Clip:
    """The files of one clip; one, for a network of single images.

    Attributes:
        files: its frames in their order.
        new: how many of the last frames no clip before it had.
        told: how many of the last frames are told by this clip, and not, or not finally, by the one before.
    """

    files: tuple[pathlib.Path, ...]
    new: int
    told: int


def found(patterns: str) -> list[pathlib.Path]:
    """The JPEG and PNG files that patterns name, ; between them, in order; of a folder, those that are in it.

    Raises:
        UserError: where one names none.
    """
    files: dict[pathlib.Path, None] = {}
    for pattern in filter(None, map(str.strip, patterns.split(";"))):
        matches = _matches(pathlib.Path(pattern).expanduser())
        inside = [file for match in matches for file in (sorted(match.iterdir()) if match.is_dir() else [match])]
        pictures = [file for file in inside if file.suffix.lower() in KNOWN and file.is_file()]
        if not pictures:
            other = f"; {len(inside)} files of other kinds are" if inside else ""
            raise UserError(f"--images={pattern!r}: no {' or '.join(KNOWN)} file is there{other}.")
        files |= dict.fromkeys(pictures)
    if not files:
        raise UserError("--images names no files; expected such as --images='photos/*.jpg'.")
    return list(files)


def _matches(pattern: pathlib.Path) -> list[pathlib.Path]:
    """What is there by this very name, which may have brackets in it; else what fits it as a pattern."""
    if os.path.exists(pattern):
        return [pattern]
    return [pathlib.Path(match) for match in sorted(glob.glob(str(pattern)))]


def clips_of(files: Sequence[pathlib.Path], frames: int, shared: int = 0, ahead: bool = False) -> list[Clip]:
    """Files as clips: the frames of a video are those of one folder, by name, of which numbers count as such.

    The last clip may overlap the one before.

    Args:
        files: found.
        frames: of a clip.
        shared: how many of them the clip before must have too; fewer than `frames`.
        ahead: whether these are told again, by the clip that has the frame after them.

    Raises:
        UserError: for a folder of fewer frames.

    Example:
        >>> names = [pathlib.Path("video", f"{i}.png") for i in range(5)]
        >>> [([file.stem for file in clip.files], clip.new) for clip in clips_of(names, 2)]
        [(['0', '1'], 2), (['2', '3'], 2), (['3', '4'], 1)]
    """
    if frames == 1:
        return [Clip((file,), 1, 1) for file in files]
    folders = collections.defaultdict(list)
    for file in files:
        folders[file.parent].append(file)
    clips = []
    for folder, inside in folders.items():
        if len(inside) < frames:
            raise UserError(
                f"{str(folder)!r}: {len(inside)} frames; this run takes clips of {frames} frames of a video, a "
                "folder each."
            )
        inside = sorted(inside, key=_by_numbers)
        done = 0
        while done < len(inside):
            last = min(max(done - shared, 0) + frames, len(inside))
            new = last - done
            clips.append(Clip(tuple(inside[last - frames : last]), new, new + shared if ahead and done else new))
            done = last
    return clips


def _by_numbers(file: pathlib.Path) -> tuple[list[tuple[str, int]], str]:
    """What orders frames: `9.png` before `10.png`, whether or not their numbers are filled up with zeros."""
    parts = re.split("([0-9]+)", file.name)
    return [(word, int(number)) for word, number in zip(parts[::2], [*parts[1::2], "-1"], strict=True)], file.name


def read_ahead(clips: Iterable[Clip]) -> Iterator[tuple[Clip, np.ndarray | UserError]]:
    """Each clip with its frames (s, h, w, 3) uint8, or with what is wrong with its files."""
    waiting: collections.deque[Any] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        for clip in clips:
            waiting.append((clip, pool.submit(_frames, clip)))
            if len(waiting) > _AHEAD:
                first, reading = waiting.popleft()
                yield first, reading.result()
        while waiting:
            first, reading = waiting.popleft()
            yield first, reading.result()


def _frames(clip: Clip) -> np.ndarray | UserError:
    try:
        frames = [photograph(file) for file in clip.files]
        if len({frame.shape for frame in frames}) > 1:
            return UserError(f"frames of {str(clip.files[0].parent)!r} differ in size.")
        return np.stack(frames)
    except UserError as error:
        return error


def names_of(files: Sequence[pathlib.Path]) -> dict[pathlib.Path, str]:
    """File -> the name under which its predictions are left: as short as tells all apart.

    Example:
        >>> a, b, c = (pathlib.Path(name) for name in ("a/0.png", "b/0.png", "b/1.png"))
        >>> list(names_of([a, b, c]).values()), list(names_of([b, c]).values())
        (['a/0', 'b/0', 'b/1'], ['0', '1'])
    """
    ways = (
        lambda file: file.stem,
        lambda file: file.name,
        lambda file: str(_in_folder(file).with_suffix("")),
        lambda file: str(_in_folder(file)),
    )
    for way in ways:
        names = {file: way(file) for file in files}
        if len(set(names.values())) == len(files):
            return names
    return {file: f"{i:06d}-{file.stem}" for i, file in enumerate(files)}


def _in_folder(file: pathlib.Path) -> pathlib.Path:
    """A file's name with that of its folder, which is never `..` or the root: what is left stays in its place."""
    folder, name = pathlib.Path(os.path.abspath(file)).parts[-2:]
    return pathlib.Path(folder.strip(os.sep) or "root", name)


def refuse_over(folder: pathlib.Path, names: Mapping[pathlib.Path, str]) -> None:
    """Refuses to leave pictures in the place of those that are read.

    Args:
        folder: where predictions are left.
        names: file -> the name under which its predictions are left there.

    Raises:
        UserError: with the first file that would be written over.
    """
    read = {file.resolve(): file for file in names}
    for name in names.values():
        if (file := read.get((folder / f"{name}.png").resolve())) is not None:
            raise UserError(f"the prediction {name}.png would take the place of the image {str(file)!r}; choose --out.")


def leave(
    folder: pathlib.Path,
    name: str,
    picture: np.ndarray,
    answers: Mapping[str, Any],
    clip: Sequence[pathlib.Path],
    frame: int = 0,
) -> None:
    """Writes `name.png`, `name.npz` and `name.json` into a folder, each whole or not at all.

    Args:
        folder: there is, or is made.
        name: may have a folder of its own.
        picture: (h, w, 3) uint8.
        answers: task -> arrays by name, and plain values. The first array is called as its task, others `task/name`.
        clip: the files of its frames; of one of more than one the first is told as well.
        frame: which of them it is.

    Raises:
        UserError: where they cannot be written.
    """
    base = folder / name
    arrays = {}
    for task, (them, _) in answers.items():
        for i, (key, array) in enumerate(them.items()):
            arrays[task if i == 0 else f"{task}/{key}"] = array
    within = {"clip": {"first": str(clip[0]), "frame": frame, "frames": len(clip)}} if len(clip) > 1 else {}
    told = {"image": str(clip[frame]), **within, "tasks": {task: told for task, (_, told) in answers.items()}}
    try:
        base.parent.mkdir(parents=True, exist_ok=True)
        with replacing(base.with_name(f"{base.name}.png")) as temporary:
            Image.fromarray(picture).save(temporary, "PNG", compress_level=1)
        with replacing(base.with_name(f"{base.name}.npz")) as temporary, temporary.open("wb") as opened:
            np.savez(opened, **arrays)
        replace_text(base.with_name(f"{base.name}.json"), json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise UserError(f"cannot write into {str(folder)!r}: {error.strerror or error}.") from error
