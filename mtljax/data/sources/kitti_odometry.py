"""KITTI odometry: long drives of a camera with its path."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from mtljax.data.dataset import Example
from mtljax.data.folder import Folder
from mtljax.data.labels.motion import ego_motion
from mtljax.data.reading import images
from mtljax.data.reading.cameras import HALF_A_PIXEL, must_be_of
from mtljax.data.reading.files import missing_folder
from mtljax.data.reading.kitti_poses import read_kitti
from mtljax.data.reading.text import finite, lines
from mtljax.data.resize import checked_size, resized
from mtljax.errors import UserError
from mtljax.geometry.rotations import quaternions_of

_CALIBRATION, _CAMERA = "calib.txt", "P2"


@dataclasses.dataclass(frozen=True)
class Drive:
    """A sequence.

    Attributes:
        frames: its image files, in order.
        poses: (N, 4, 4) camera to world.
        intrinsics: (3, 3), for pixel centres at integers + 0.5 of the files.
        first: place of its first frame in the split.
    """

    frames: tuple[pathlib.Path, ...]
    poses: np.ndarray
    intrinsics: np.ndarray
    first: int


def kitti_odometry(
    path: str,
    sequences: Sequence[str] = ("00", "01", "02", "03", "04", "05", "06", "07", "08"),
    validation: Sequence[str] = ("09", "10"),
    frames: int = 3,
    stride: int | None = None,
    size: tuple[int, int] | None = (192, 640),
) -> Folder:
    """Clips of KITTI's odometry sequences with `ego_motion`, `frame_index` and `camera`.

    The folder holds, for each sequence, `sequences/00/image_2/000000.png` and so on (or `.jpg`),
    `sequences/00/calib.txt` and `poses/00.txt`, whose rows are the 3 x 4 poses, camera to world, of the left grey
    camera. Those of the left colour camera, which took the images, are derived with `P2` of `calib.txt`: it stands 6 cm
    beside. The principal point is stored for pixel centres at integers: half a pixel is added.

    Args:
        path: of the folder.
        sequences: of the training split; the default is the protocol of SfMLearner (Zhou et al. 2017).
        validation: of the validation split.
        frames: s of a clip of consecutive frames.
        stride: frames from the start of a clip to that of the next; default: `frames`, so that clips do not overlap.
            With `frames - 1` every motion from a frame to the next is seen once; 1 gives the most clips.
        size: (height, width) to which images are resized (sequences differ in size), or None.

    Returns:
        A data set with the splits `train` and `validation`.

    Raises:
        UserError: for arguments that cannot be.

    References:
        Geiger et al., Are we ready for Autonomous Driving? The KITTI Vision Benchmark Suite, CVPR 2012.

    Example:
        >>> kitti_odometry("data/kitti", frames=2, stride=1).name
        'kitti_odometry/kitti'
    """
    stride = frames if stride is None else stride
    for argument, value in (("frames", frames), ("stride", stride)):
        if not isinstance(value, int) or value < 1:
            raise UserError(f"kitti_odometry({argument}={value!r}): expected a whole number, at least 1.")
    chosen = {"train": tuple(sequences), "validation": tuple(validation)}
    for split, names in chosen.items():
        if isinstance((sequences if split == "train" else validation), str) or not names:
            raise UserError(f"kitti_odometry: expected some sequences for {split}, such as ['09', '10'].")
    if both := set(chosen["train"]) & set(chosen["validation"]):
        raise UserError(f"kitti_odometry: sequence {min(both)!r} is in both train and validation.")
    root = pathlib.Path(path).expanduser()

    def clips(split: str) -> list[tuple[Drive, int]]:
        return list(_clips(root, chosen[split], frames, stride))

    read = functools.partial(_example, frames, None if size is None else checked_size(size))
    return Folder(f"kitti_odometry/{root.name}", clips, read)


def _clips(root: pathlib.Path, names: Sequence[str], frames: int, stride: int) -> Iterator[tuple[Drive, int]]:
    """Drives, and the frame at which each of their clips starts."""
    if not root.is_dir():
        raise missing_folder("KITTI", root)
    first = 0
    for name in names:
        drive = _drive(root, name, first)
        if len(drive.frames) < frames:
            raise UserError(f"KITTI sequence {name!r} has {len(drive.frames)} frames: too few for clips of {frames}.")
        yield from ((drive, start) for start in range(0, len(drive.frames) - frames + 1, stride))
        first += len(drive.frames) + 1  # and so a gap of 2 to the next


def _drive(root: pathlib.Path, name: str, first: int) -> Drive:
    folder = root / "sequences" / name
    if not folder.is_dir():
        raise missing_folder("KITTI sequence", folder)
    found = sorted(f for f in (folder / "image_2").glob("*") if f.suffix in (".png", ".jpg"))
    for number, file in enumerate(found):
        if file.stem != f"{number:06d}":
            raise UserError(f"KITTI folder {str(file.parent)!r} lacks {number:06d}; expected all from 000000 on.")
    if not found:
        raise UserError(f"KITTI folder {str(folder)!r} has no images; expected image_2/000000.png and so on.")
    intrinsics, offset = _calibration(folder / _CALIBRATION)
    file = root / "poses" / f"{name}.txt"
    numbers, poses = read_kitti(file)
    if not np.array_equal(numbers, np.arange(len(found))):
        images_in = f"the {len(found)} images in {str(folder / 'image_2')!r}"
        raise UserError(f"{str(file)!r} holds {len(poses)} poses for {images_in}.")
    poses[:, :3, 3] -= poses[:, :3, :3] @ offset
    return Drive(tuple(found), poses, intrinsics, first)


def _calibration(file: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Intrinsics, and what moves points of the grey camera's frame to the colour camera's."""
    rows = {line.split(":", 1)[0]: (i, line) for i, line in enumerate(lines(file), 1) if ":" in line}
    if _CAMERA not in rows:
        raise UserError(f"{str(file)!r} has no {_CAMERA}; expected lines such as 'P2: ' and 12 numbers.")
    number, line = rows[_CAMERA]
    projection = _numbers(line.split(":", 1)[1], f"line {number}, {_CAMERA} of {str(file)!r}")
    intrinsics, shifted = projection[:, :3], projection[:, 3]
    if np.abs(np.linalg.det(intrinsics)) < 1e-6 or min(intrinsics[0, 0], intrinsics[1, 1]) <= 0:
        raise UserError(f"{_CAMERA} of {str(file)!r} is no projection: {projection.tolist()}.")
    return intrinsics + HALF_A_PIXEL, np.linalg.solve(intrinsics, shifted)


def _numbers(text: str, where: str) -> np.ndarray:
    """(3, 4)."""
    try:
        return np.array([finite(word) for word in text.split()]).reshape(3, 4)
    except ValueError:
        raise UserError(f"{where}: expected 12 numbers, all finite, not {text.strip()[:60]!r}.") from None


def _example(frames: int, size: tuple[int, int] | None, clip: tuple[Drive, int]) -> Example:
    drive, start = clip
    part = slice(start, start + frames)
    loaded = [{"image": images.colour(file)} for file in drive.frames[part]]
    poses = drive.poses[part]
    quaternions = quaternions_of(Rotation.from_matrix(poses[:, :3, :3]))
    camera = {"positions": poses[:, :3, 3], "quaternions": quaternions, "intrinsics": drive.intrinsics}
    seen = images.stacked(loaded, drive.frames[start].parent)
    must_be_of(seen["image"], drive.intrinsics, str(drive.frames[start].parents[1] / _CALIBRATION))
    example = {
        **seen,
        **ego_motion(poses),
        "frame_index": np.arange(drive.first + start, drive.first + start + frames, dtype=np.int32),
        "frame_index_valid": np.ones(frames, bool),
        "camera": {key: value.astype(np.float32) for key, value in camera.items()},
    }
    return resized(example, size) if size else example
