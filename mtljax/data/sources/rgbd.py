"""Folders of RGB-D frames with poses, in the layout of Microsoft's 7-Scenes."""

import dataclasses
import functools
import itertools
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from mtljax.data.dataset import Example
from mtljax.data.folder import Folder
from mtljax.data.labels.edges import edges_from_depth
from mtljax.data.labels.motion import static_labels
from mtljax.data.labels.normals import normals_from_depth
from mtljax.data.meanings import DISCONTINUITIES
from mtljax.data.reading import images
from mtljax.data.reading.cameras import HALF_A_PIXEL, must_be_of
from mtljax.data.reading.files import half_copied, missing_folder
from mtljax.data.reading.text import finite
from mtljax.errors import UserError
from mtljax.geometry.poses import pose_matrices
from mtljax.geometry.rotations import quaternions_of

_FRAME = re.compile(r"frame-(\d{6})\.(color\.(?:jpg|png)|depth\.png|pose\.txt)")
_MISSING = (0, 65535)
_INTRINSICS = "camera-intrinsics.txt"
_PIXEL_BYTES = 23  # of a pixel of a frame with all its labels
_GAP = 2  # in `frame_index` between frames that do not follow one another


class Clip(NamedTuple):
    """Frames that are one example.

    Attributes:
        place: of the first in its split.
        numbers: of the frames in the folder.
    """

    place: int
    numbers: Sequence[int]


def rgbd(
    path: str,
    validation: float = 0.2,
    frames: int = 1,
    stride: int | None = None,
    every: int = 1,
    offsets: int = 1,
    cache_mb: int = 512,
) -> Folder:
    """Frames of a folder in the 7-Scenes layout, in order: the first part is `train`, the last `validation`.

    The folder holds `frame-000000.color.jpg` or `.png`, `.depth.png` (16 bit millimetres, 0 and 65535 invalid),
    `.pose.txt` (camera to world, 4 x 4) for every frame, and `camera-intrinsics.txt` (3 x 3, pixel centres at
    integers, as the Kinect tools write it: half a pixel is added here). Labels: `depth`; `normal` from depth; `edge`
    from discontinuities of both; each with its mask; and `camera`. Clips of more than one frame have the labels of a
    still world under a moving camera as well: `forward_flow`, `backward_flow`, `moving` (0), `ego_motion`; and
    `frame_index`, the place of a frame in its split.

    Args:
        path: of the folder.
        validation: share of the frames held out at the end: frames are a video, and are not shuffled across the split.
        frames: s of a clip of consecutive frames.
        stride: frames from the start of a clip to that of the next; default: `frames`, so that clips do not overlap.
            With `frames - 1` every motion from a frame to the next is seen once.
        every: takes every n-th frame of the folder alone: larger motions.
        offsets: with `every`, how often the training frames are gone through, each time from one frame later: `every`
            for clips of all of them.
        cache_mb: about how many megabytes of frames a split keeps, decoded and with their labels: frames that are
            found there cost next to nothing. A frame of 160 x 120 pixels takes 0.4 MB, one of 640 x 480 7 MB.

    Returns:
        A data set with the splits `train` and `validation`.

    Raises:
        UserError: for arguments that cannot be.

    Example:
        >>> rgbd("data/kitchen").name
        'rgbd/kitchen'
    """
    if not 0 < validation < 1:
        raise UserError(f"rgbd(validation={validation}): expected a share between 0 and 1.")
    stride = frames if stride is None else stride
    whole = {"frames": frames, "stride": stride, "every": every, "offsets": offsets, "cache_mb": cache_mb}
    for argument, value in whole.items():
        least = int(argument != "cache_mb")
        if not isinstance(value, int) or value < least:
            raise UserError(f"rgbd({argument}={value}): expected a whole number, at least {least}.")
    if offsets > every:
        raise UserError(f"rgbd(every={every}, offsets={offsets}): expected no more offsets than {every}.")
    root = pathlib.Path(path).expanduser()
    return Folder(f"rgbd/{root.name}", Clips(root, validation, **whole), _example, {"edge": DISCONTINUITIES})


@dataclasses.dataclass(frozen=True)
class Clips:
    """The clips of a folder, by split; attributes as the arguments of `rgbd`."""

    path: pathlib.Path
    validation: float
    frames: int
    stride: int
    every: int
    offsets: int
    cache_mb: int

    def __call__(self, split: str) -> list[tuple["Video", Clip]]:
        """Each with the video that it is a part of."""
        numbers = _complete_frames(self.path)
        clips = list(self._of(self._sequences(numbers, split)))
        if not clips:
            taken, every = len(numbers[:: self.every]), f" (every={self.every})" if self.every > 1 else ""
            raise UserError(
                f"rgbd folder {str(self.path)!r} has {taken} frames{every}: too few for {split} clips of {self.frames}."
            )
        video = Video(self.path, _intrinsics(self.path), self.cache_mb)
        return [(video, clip) for clip in clips]

    def _sequences(self, numbers: Sequence[int], split: str) -> list[Sequence[int]]:
        """The frames of each time that a split is gone through."""
        taken = len(numbers[:: self.every])
        held_out = max(self.frames, round(taken * self.validation))
        cut = max(0, taken - held_out) * self.every
        if split == "train":
            return [numbers[:cut][offset :: self.every] for offset in range(self.offsets)]
        return [numbers[cut :: self.every]]

    def _of(self, sequences: Sequence[Sequence[int]]) -> Iterator[Clip]:
        lengths = [len(sequence) + _GAP for sequence in sequences]
        for begin, sequence in zip(itertools.accumulate(lengths, initial=0), sequences, strict=False):
            for place in range(0, len(sequence) - self.frames + 1, self.stride):
                yield Clip(begin + place, tuple(sequence[place : place + self.frames]))


@dataclasses.dataclass(frozen=True)
class Video:
    """The frames of a folder.

    Attributes:
        path: of the folder.
        intrinsics: (3, 3), for pixel centres at integers + 0.5.
        cache_mb: about how many megabytes of frames are kept.
    """

    path: pathlib.Path
    intrinsics: np.ndarray
    cache_mb: int

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "frame"}  # each process keeps its own

    @functools.cached_property
    def frame(self) -> Callable[[int], Example]:
        """`_read`, remembered; the principal point is about half the image's size."""
        pixels = max(1.0, 4 * self.intrinsics[0, 2] * self.intrinsics[1, 2])
        return functools.lru_cache(maxsize=int(self.cache_mb * 1e6 / (_PIXEL_BYTES * pixels)))(self._read)

    def _read(self, number: int) -> Example:
        stem = self.path / f"frame-{number:06d}"
        colour = next(f for f in (stem.with_suffix(".color.jpg"), stem.with_suffix(".color.png")) if f.exists())
        image = images.colour(colour)
        must_be_of(image, self.intrinsics, str(self.path / _INTRINSICS))
        depth_file = stem.with_suffix(".depth.png")
        raw = images.grey16(depth_file, "millimetres", "depth map")
        images.must_fit("depth map", depth_file, raw, image)
        valid = ~np.isin(raw, _MISSING)
        depth = np.where(valid, raw / 1000.0, 0.0)
        normal, normal_valid = normals_from_depth(depth, valid, self.intrinsics)
        edge, edge_valid = edges_from_depth(depth, valid, normal, normal_valid, self.intrinsics)
        pose = _pose(stem.with_suffix(".pose.txt"))
        return {
            "image": image,
            "depth": depth[..., None].astype(np.float32),
            "depth_valid": valid[..., None],
            "normal": normal,
            "normal_valid": normal_valid[..., None],
            "edge": edge[..., None],
            "edge_valid": edge_valid[..., None],
            "position": pose[:3, 3],
            "quaternion": quaternions_of(Rotation.from_matrix(pose[:3, :3])),
        }


def _example(item: tuple[Video, Clip]) -> Example:
    video, (place, numbers) = item
    frames = len(numbers)
    example = images.stacked([video.frame(number) for number in numbers], video.path)
    positions, quaternions = example.pop("position"), example.pop("quaternion")
    if frames > 1:
        poses = pose_matrices(positions, quaternions)
        example |= static_labels(example["depth"], example["depth_valid"], video.intrinsics, poses)
        example |= {
            "frame_index": np.arange(place, place + frames, dtype=np.int32),
            "frame_index_valid": np.ones(frames, bool),
        }
    camera = {"positions": positions, "quaternions": quaternions, "intrinsics": video.intrinsics}
    return example | {"camera": {key: value.astype(np.float32) for key, value in camera.items()}}


@functools.lru_cache(maxsize=16)
def _complete_frames(path: pathlib.Path) -> tuple[int, ...]:
    """The numbers of the frames, each with all of its files, in even steps."""
    if not path.is_dir():
        raise missing_folder("rgbd", path)
    parts: dict[int, set[str]] = {}
    for file in path.iterdir():
        if match := _FRAME.fullmatch(file.name):
            parts.setdefault(int(match[1]), set()).add(match[2].split(".")[0])
    if not parts:
        raise UserError(
            f"rgbd folder {str(path)!r} has no frames; expected files such as frame-000000.color.jpg, "
            "frame-000000.depth.png and frame-000000.pose.txt."
        )
    lacking = [
        f"frame-{number:06d}.{part}"
        for number in sorted(parts)
        for part in ("color", "depth", "pose")
        if part not in parts[number]
    ]
    if lacking:
        raise half_copied("rgbd", path, lacking)
    numbers = sorted(parts)
    step = min(np.diff(numbers), default=1)  # of a folder that was thinned out evenly, more than 1
    for before, after in itertools.pairwise(numbers):
        if after - before != step:
            raise UserError(
                f"rgbd folder {str(path)!r} lacks frame-{before + step:06d}, between frame-{before:06d} and "
                f"frame-{after:06d}: a video without gaps is expected."
            )
    return tuple(numbers)


def _intrinsics(path: pathlib.Path) -> np.ndarray:
    matrix = _matrix(path / _INTRINSICS, (3, 3))
    if matrix[0, 0] <= 0 or matrix[1, 1] <= 0 or not np.array_equal(matrix[2], [0, 0, 1]):
        raise UserError(f"{str(path / _INTRINSICS)!r} holds no camera matrix: {matrix.tolist()}.")
    return (matrix + HALF_A_PIXEL).astype(np.float32)


def _pose(file: pathlib.Path) -> np.ndarray:
    pose = _matrix(file, (4, 4))
    turn = pose[:3, :3]
    rigid = np.allclose(turn @ turn.T, np.eye(3), atol=1e-2) and np.linalg.det(turn) > 0
    if not rigid or not np.allclose(pose[3], [0, 0, 0, 1], atol=1e-3):
        raise UserError(f"pose {str(file)!r} is not rigid; expected a 4 x 4 camera-to-world matrix.")
    return pose


def _matrix(file: pathlib.Path, shape: tuple[int, int]) -> np.ndarray:
    expected = f"the file must hold {shape[0]} x {shape[1]} finite numbers (a lost frame has no pose)"
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        raise UserError(f"{str(file)!r} is missing; expected a {shape[0]} x {shape[1]} matrix of numbers.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{str(file)!r} is no matrix of {shape[0]} x {shape[1]} numbers: {error}.") from error
    rows = []
    for i, line in enumerate(lines, 1):
        try:
            rows += [[finite(word) for word in line.split()]] if line.strip() else []
        except ValueError as error:
            raise UserError(f"{str(file)!r}, line {i}: {error}; {expected}.") from None
    if [len(row) for row in rows] != [shape[1]] * shape[0]:
        found = f"its rows hold {', '.join(str(len(row)) for row in rows)}"
        raise UserError(f"{str(file)!r} is no matrix of {shape[0]} x {shape[1]} numbers: {found}; {expected}.")
    return np.array(rows)
