"""Kubric's MOVi data sets: videos of simulated objects with all their labels."""

import dataclasses
from collections.abc import Mapping
from typing import Any, SupportsIndex

import numpy as np
from scipy.spatial.transform import Rotation

from mtljax.data.dataset import SPLITS, Example, Source, checked_split, valid_everywhere
from mtljax.data.labels.boxes import tight
from mtljax.data.labels.edges import edges_of_surfaces
from mtljax.data.labels.motion import ego_motion, has_next
from mtljax.data.labels.objects import in_sequence, nothing_behind
from mtljax.data.meanings import DISCONTINUITIES, Meaning
from mtljax.data.reading.raw_records import Records, decoded, open_records
from mtljax.errors import UserError, unknown
from mtljax.geometry.camera import backproject, pinhole
from mtljax.geometry.poses import pose_matrices
from mtljax.geometry.rotations import quaternions_of, rotation_from

_OBJECTS = {"movi_a": 10, "movi_b": 10, "movi_c": 10, "movi_d": 23, "movi_e": 23, "movi_f": 23, "panning_movi_e": 23}
_SPLITS = (*SPLITS, "test")
_ADVICE = (
    "Copy gs://kubric-public/tfds/{name} there and convert it, once, where TensorFlow is: tfds convert_format "
    "--dataset_dir=THAT_FOLDER --out_file_format=array_record."
)
_LOOKS_BACK = np.diag([1.0, -1.0, -1.0])  # from a camera that looks along -z, y up, to one along z, y down
_STILL = 1e-3  # metres by which no point of an object at rest moves from frame to frame
_SKY = 1e6  # metres: Kubric's depth where there is nothing is 1e10
_BOX_AXES = (4, 2, 1)  # corners of an object's box that are its first corner's neighbours along x, y and z


@dataclasses.dataclass(frozen=True)
class Movi:
    """See `movi`."""

    name: str
    data_dir: str | None
    frames: int | None
    stride: int | None

    @property
    def meanings(self) -> dict[str, Meaning]:
        """What labels mean."""
        classes = f"background and categories of {self.name.split('/')[0]}"
        return {"semantic": classes, "edge": DISCONTINUITIES, "category": classes}

    def split(self, name: str) -> Source:
        """The clips of `train`, `validation` or, where there is one, `test`.

        Raises:
            UserError: for an unknown split, or data that is not there.
        """
        checked_split(self.name, name, _SPLITS)
        records = open_records(self.name, name, self.data_dir, _ADVICE.format(name=self.name))
        video = len(_feature(records[0], "video"))
        frames = video if self.frames is None else self.frames
        if frames > video:
            raise UserError(f"movi({self.name!r}, frames={frames}): its videos have {video} frames.")
        return MoviSource(self.name, records, _OBJECTS[self.name.split("/")[0]], frames, self.stride or frames, video)


def movi(
    name: str = "movi_e/128x128", data_dir: str | None = None, frames: int | None = None, stride: int | None = None
) -> Movi:
    """Clips of MOVi, with every label that `scenes` has and in its conventions: a config written for one reads both.

    Labels: `depth`, `normal`, `semantic` (0 background, else 1 + the `category`, or in MOVi-A and -B the shape, of the
    object: 18, 4 and 12 classes), `edge` (from ids, depth and normals), `forward_flow`, `backward_flow`, `moving`,
    `ego_motion`, `frame_index`; `camera`; `segmentations`; and `instances`, padded to 10 objects (A to C) or 23, whose
    `scale` is the half sizes of an object's box.

    What is converted. Depth is stored as the distance to the camera's centre, normals in the world's frame, flow as
    (row, column); all three as 16 bit integers, depth and flow between bounds that each video has. The backward flow
    is stored as the motion from the last frame to this one (google-research/kubric#152), and is negated here. The
    camera looks along -z with y up; its intrinsics follow from focal length and sensor width. In 128 x 128, MOVi
    averages images over 2 x 2 pixels, but takes labels from the first of them; that quarter pixel is left as it is.

    Args:
        name: `movi_a` to `movi_f` or `panning_movi_e`, and a configuration: `movi_e/256x256`.
        data_dir: where TFDS keeps its data; default: `TFDS_DATA_DIR` or `~/tensorflow_datasets`. The data must be in
            TFDS's format array_record, the one that gives random access (docs/data.md says how to convert it).
        frames: s of a clip; a video of 24 frames is cut into as many as fit. Default: all its frames.
        stride: frames from the start of a clip to that of the next; default: `frames`. With `frames` - 1, clips overlap
            by one frame, and tracks go on from clip to clip.

    Returns:
        A data set with the splits `train` and `validation`, and `test` where MOVi has one.

    Raises:
        UserError: for an unknown name, or frames that cannot be.

    References:
        Greff et al., Kubric: a scalable dataset generator, CVPR 2022.

    Example:
        >>> movi("movi_c/256x256", frames=6).name
        'movi_c/256x256'
    """
    builder, _, config = name.partition("/")
    if builder not in _OBJECTS:
        raise unknown("MOVi data set", builder, _OBJECTS)
    if not config:
        raise UserError(f"movi({name!r}): expected a configuration as well, such as '{builder}/128x128'.")
    if frames is not None and (not isinstance(frames, int) or frames < 1):
        raise UserError(f"movi(frames={frames!r}): expected a whole number, at least 1.")
    if stride is not None and (not isinstance(stride, int) or not 1 <= stride <= (frames or 0)):
        raise UserError(f"movi(stride={stride!r}, frames={frames!r}): expected a whole number from 1 to frames.")
    return Movi(name, data_dir, frames, stride)


@dataclasses.dataclass(frozen=True)
class MoviSource:
    """Clips as examples of mtljax, by index.

    Attributes:
        name: of the data set, for messages.
        records: of a split.
        objects: to which instances are padded.
        frames: s of a clip.
        stride: frames from the start of a clip to that of the next.
        video: frames of a record.
    """

    name: str
    records: Records
    objects: int
    frames: int
    stride: int
    video: int

    @property
    def _clips(self) -> int:
        """Of a record."""
        return (self.video - self.frames) // self.stride + 1

    def __len__(self) -> int:
        return len(self.records) * self._clips

    def __getitem__(self, index: SupportsIndex) -> Example:
        if not 0 <= int(index) < len(self):
            raise IndexError(index)
        number, part = divmod(int(index), self._clips)
        start = part * self.stride
        record = self.records[number]
        try:
            example = to_example(record, slice(start, start + self.frames), self.objects)
        except UserError as error:
            raise UserError(f"{self.name}, record {number}: {error}") from error
        places = number * (self.video + 1) + start + np.arange(self.frames)
        example |= {"frame_index": places.astype(np.int32), "frame_index_valid": np.ones(self.frames, bool)}
        return example | in_sequence(number)


def to_example(record: Mapping[str, Any], part: slice, objects: int) -> Example:
    """Some frames of a record of MOVi in the form that every example of mtljax has; instances padded to `objects`.

    Raises:
        UserError: where a feature is missing or does not fit the others.
    """
    video = _images(record, "video", part, (np.uint8,), 3)
    ids = _images(record, "segmentations", part, (np.uint8, np.uint16), 1).astype(np.int32)
    s, h, w, _ = video.shape
    instances = _instances(record, part, ids, objects)
    turns, camera = _camera(record, part, h, w)
    depth, depth_valid = _depth(record, part, camera["intrinsics"])
    normal, normal_valid = _normal(record, part, turns, camera["intrinsics"])
    points = [backproject(z[..., None], camera["intrinsics"], np) for z in depth]
    edge = np.stack([edges_of_surfaces(*parts) for parts in zip(points, depth, normal, ids[..., 0], strict=True)])
    classes = np.concatenate([[0], instances["category"]])
    later = has_next(s)[:, None, None, None]
    return {
        "image": video,
        "semantic": classes[ids].astype(np.int32),
        "semantic_valid": valid_everywhere(ids),
        "depth": depth[..., None].astype(np.float32),
        "depth_valid": depth_valid[..., None],
        "normal": normal.astype(np.float32),
        "normal_valid": normal_valid[..., None],
        "edge": edge[..., None],
        "edge_valid": (depth_valid & normal_valid)[..., None],
        **_flow(record, "forward_flow", part, video.shape, later),
        **_flow(record, "backward_flow", part, video.shape, later[::-1]),
        **_moving(instances, ids, later),
        **ego_motion(pose_matrices(camera["positions"], camera["quaternions"])),
        "segmentations": ids.astype(np.uint8),
        "camera": {key: value.astype(np.float32) for key, value in camera.items()},
        "instances": instances,
        "instances_valid": np.arange(objects) < len(_feature(record, "instances/visibility")) // _length(record),
        "objects_valid": np.ones(s, bool),
        **nothing_behind(objects),
    }


def _camera(record: Mapping[str, Any], part: slice, h: int, w: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Rotations (s, 3, 3), camera to world, and the camera, in float64."""
    turns = rotation_from(_feature(record, "camera/quaternions").reshape(-1, 4)[part]).as_matrix() @ _LOOKS_BACK
    focal = w * float(_feature(record, "camera/focal_length")[0]) / float(_feature(record, "camera/sensor_width")[0])
    return turns, {
        "positions": _feature(record, "camera/positions").reshape(-1, 3)[part].astype(np.float64),
        "quaternions": quaternions_of(Rotation.from_matrix(turns)),
        "intrinsics": pinhole(focal, h, w),
    }


def _depth(record: Mapping[str, Any], part: slice, intrinsics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """z-depth (s, h, w) in metres, and its mask."""
    low, high = _feature(record, "metadata/depth_range").astype(np.float64)
    distance = _images(record, "depth", part, (np.uint16,), 1)[..., 0] / 65535 * (high - low) + low
    rays = backproject(np.ones((*distance.shape[1:], 1)), intrinsics, np)
    # Where any pixel of a video shows the sky, the steps between its depths are of kilometres.
    known = np.full(distance.shape, high < _SKY)
    return np.where(known, distance / np.linalg.norm(rays, axis=-1), 0), known


def _normal(
    record: Mapping[str, Any], part: slice, turns: np.ndarray, intrinsics: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals (s, h, w, 3) in the camera's frame, towards it, and their mask."""
    normal = np.einsum("sji,shwj->shwi", turns, _images(record, "normal", part, (np.uint16,), 3) / (65535 / 2) - 1)
    length = np.linalg.norm(normal, axis=-1)
    known = length > 0.5
    normal /= np.where(known, length, np.inf)[..., None]
    away = np.sum(normal * backproject(np.ones((*length.shape[1:], 1)), intrinsics, np), axis=-1) > 0
    return np.where(away[..., None], -normal, normal), known


def _flow(record: Mapping[str, Any], key: str, part: slice, shape: tuple[int, ...], known: np.ndarray) -> Example:
    low, high = _feature(record, f"metadata/{key}_range").astype(np.float64)
    _, h, w, _ = shape
    flow = _feature(record, key).reshape(-1, h, w, 2)[part, ..., ::-1] / 65535 * (high - low) + low
    flow = -flow if key == "backward_flow" else flow
    return {key: np.where(known, flow, 0).astype(np.float32), f"{key}_valid": valid_everywhere(flow) & known}


def _instances(record: Mapping[str, Any], part: slice, ids: np.ndarray, objects: int) -> dict[str, np.ndarray]:
    """Of a clip, padded; categories from 1."""
    s = _length(record)
    number = len(_feature(record, "instances/visibility")) // s
    if number > objects:
        raise UserError(f"{number} objects; expected at most {objects}.")
    if ids.max() > number:
        raise UserError(f"a segmentation has the id {ids.max()}; it has {number} objects.")
    kind = "instances/category" if "instances/category" in record else "instances/shape_label"
    box = _feature(record, "instances/bboxes_3d").reshape(number, s, 8, 3)[:, 0]
    sides = [np.linalg.norm(box[:, corner] - box[:, 0], axis=-1) for corner in _BOX_AXES]
    found = {
        **tight(ids, number),  # what is stored is of images of 256 x 256 in every configuration
        "positions": _feature(record, "instances/positions").reshape(number, s, 3)[:, part],
        "quaternions": _feature(record, "instances/quaternions").reshape(number, s, 4)[:, part],
        "scale": np.stack(sides, axis=-1).astype(np.float32) / 2,
        "category": _feature(record, kind).astype(np.int32) + 1,
    }
    return {k: np.pad(v, [(0, objects - number)] + [(0, 0)] * (v.ndim - 1)) for k, v in found.items()}


def _moving(instances: Mapping[str, np.ndarray], ids: np.ndarray, known: np.ndarray) -> Example:
    """An object moves where a point of its box may move by more than a millimetre: the simulation never quite rests."""
    positions, quaternions = (instances[key].astype(np.float64) for key in ("positions", "quaternions"))
    chords = [np.linalg.norm(quaternions[:, 1:] - sign * quaternions[:, :-1], axis=-1) for sign in (1, -1)]
    turned = 4 * np.arcsin(np.clip(np.minimum(*chords) / 2, 0, 1))  # exact for small angles, as arccos is not
    moved = np.linalg.norm(np.diff(positions, axis=1), axis=-1)
    moves = np.zeros((len(positions) + 1, ids.shape[0]), np.uint8)
    moves[1:, :-1] = moved + turned * np.linalg.norm(instances["scale"], axis=-1)[:, None] > _STILL
    return {
        "moving": moves[ids, np.arange(len(ids))[:, None, None, None]],
        "moving_valid": valid_everywhere(ids) & known,
    }


def _length(record: Mapping[str, Any]) -> int:
    return len(_feature(record, "video"))


def _feature(record: Mapping[str, Any], key: str) -> Any:
    if key not in record:
        raise unknown("feature of MOVi", key, record)
    value = record[key]
    if isinstance(value, np.ndarray) and not np.isfinite(value).all():
        raise UserError(f"feature {key!r} holds numbers that are not finite.")
    return value


def _images(record: Mapping[str, Any], key: str, part: slice, dtypes: tuple[Any, ...], channels: int) -> np.ndarray:
    """(s, h, w, channels), of one of the types in which MOVi stores that feature."""
    found = decoded(_feature(record, key)[part])
    if found.dtype not in dtypes or found.shape[-1] != channels:
        expected = f"{' or '.join(np.dtype(dtype).name for dtype in dtypes)} with {channels}"
        has = f"{found.dtype} with {found.shape[-1]} channels"
        raise UserError(f"feature {key!r} has images of {has}; expected {expected}.")
    return found
