"""`scenes` as a data set of mtljax: prepared on first use, read by index."""

import dataclasses
import os
from typing import Any, SupportsIndex

import numpy as np

from mtljax.data.dataset import SPLITS, Example, Source, checked_split, valid_everywhere
from mtljax.data.labels.motion import ego_motion, has_next, moving
from mtljax.data.labels.objects import in_sequence, nothing_behind
from mtljax.data.meanings import DISCONTINUITIES, Meaning
from mtljax.data.quiet import quiet_tfds
from mtljax.data.reading.records import read_record
from mtljax.data.scenes.world import CLASSES, MAX_OBJECTS
from mtljax.errors import UserError, unknown
from mtljax.geometry.poses import pose_matrices

_CONFIGS = ("tiny", "small", "medium", "large", "tracks")
_SPLITS = (*SPLITS, "test")


@dataclasses.dataclass(frozen=True)
class Scenes:
    """See `scenes`."""

    config: str
    data_dir: str | None = None

    @property
    def name(self) -> str:
        """`scenes/<config>`."""
        return f"scenes/{self.config}"

    @property
    def meanings(self) -> dict[str, Meaning]:
        """What labels mean."""
        return {"semantic": tuple(CLASSES), "edge": DISCONTINUITIES, "category": tuple(CLASSES)}

    def split(self, name: str) -> Source:
        """The clips of a split, prepared on first use.

        Raises:
            UserError: for an unknown split, or a folder that cannot be written.
        """
        checked_split(self.name, name, _SPLITS)
        builder = _prepared(self.config, self.data_dir)
        with quiet_tfds():
            records = builder.as_data_source(name)
            read_record(records, 0)  # The first image that a process decodes makes TFDS ask for OpenCV, once.
        return ScenesSource(records)


def scenes(config: str = "tiny", data_dir: str | None = None) -> Scenes:
    """The procedural data set `scenes`, in a configuration: `tiny`, `small`, `medium`, `large` or `tracks`.

    Args:
        config: tiny (32 x 32, 2 frames), small (64 x 64, 4), medium (128 x 128, 8), large (256 x 256, 24), or
            tracks (64 x 64, 12, two units of time apart, so that what is where it was is not easily told).
        data_dir: where it is prepared; default: where TFDS keeps its data (`TFDS_DATA_DIR`, `~/tensorflow_datasets`).

    Returns:
        A data set with the splits `train`, `validation` and `test`.

    Raises:
        UserError: for an unknown configuration.

    Example:
        >>> scenes("tiny").name
        'scenes/tiny'
    """
    if config not in _CONFIGS:
        raise unknown("configuration of scenes:", config, _CONFIGS)
    return Scenes(config, data_dir)


@dataclasses.dataclass(frozen=True)
class ScenesSource:
    """Clips as examples of mtljax, by index.

    Attributes:
        records: the TFDS data source of a split.
    """

    records: Any

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: SupportsIndex) -> Example:
        return to_example(read_record(self.records, int(index)), int(index))


def to_example(features: dict[str, Any], index: int = 0) -> Example:
    """A clip's features in the form that every example of mtljax has, with masks; instances padded to 10.

    Args:
        features: of the clip, as its builder describes them.
        index: of the clip in its split: its `sequence`, and what `frame_index` counts from.
    """
    frames = len(features["video"])
    example: Example = {"image": np.asarray(features["video"], np.uint8)}
    for key in ("semantic", "depth", "normal", "edge", "forward_flow", "backward_flow"):
        label = np.asarray(features[key])
        example[key] = label.astype(np.int32) if key == "semantic" else label
        example[f"{key}_valid"] = valid_everywhere(label)
    later = has_next(frames)[:, None, None, None]
    for key, known in (("forward_flow", later), ("backward_flow", later[::-1])):
        example[key] = np.where(known, example[key], 0)
        example[f"{key}_valid"] &= known
    camera, instances = features["camera"], features["instances"]
    example |= moving(features["segmentations"], instances)
    example |= ego_motion(pose_matrices(camera["positions"], camera["quaternions"]))
    example["frame_index"] = (index * (frames + 1) + np.arange(frames)).astype(np.int32)
    example["frame_index_valid"] = np.ones(frames, bool)
    example["camera"] = {key: np.asarray(value, np.float32) for key, value in camera.items()}
    number = len(instances["category"])
    example["segmentations"] = np.asarray(features["segmentations"])
    example["instances"] = {key: _padded(np.asarray(value)) for key, value in instances.items()}
    example["instances"]["category"] = example["instances"]["category"].astype(np.int32)
    example["instances_valid"] = np.arange(MAX_OBJECTS) < number
    example["objects_valid"] = np.ones(frames, bool)
    return example | nothing_behind(MAX_OBJECTS) | in_sequence(index)


def _padded(rows: np.ndarray) -> np.ndarray:
    return np.pad(rows, [(0, MAX_OBJECTS - len(rows))] + [(0, 0)] * (rows.ndim - 1))


def _prepared(config: str, data_dir: str | None) -> Any:
    with quiet_tfds():
        from mtljax.data.scenes.tfds_builder import scenes_dataset_builder

        try:
            builder = scenes_dataset_builder.Scenes(config=config, data_dir=data_dir, file_format="array_record")
            if not builder.is_prepared():
                builder.download_and_prepare()
        except OSError as error:
            where = data_dir or os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
            raise UserError(
                f"cannot prepare scenes/{config} in {where}: {error}. Give a folder that can be written: "
                f"scenes('{config}', data_dir='...'), or set TFDS_DATA_DIR."
            ) from error
    return builder
