"""Prepared TFDS data sets whose features TFDS decodes with TensorFlow alone: their records, as they lie in files.

TFDS reads videos and ragged sequences with TensorFlow, and 16 bit images with TensorFlow or OpenCV; here NumPy and
Pillow read them from the `tf.train.Example` messages that the files hold.
"""

import io
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from PIL import Image

from mtljax.data.quiet import quiet_tfds
from mtljax.data.reading.files import half_copied
from mtljax.errors import UserError, unknown

_KEPT = ("L", "LA", "RGB", "RGBA", "I;16B", "RGB;16B")  # ways to store PNGs whose numbers Pillow keeps
_VERSION = re.compile(r"\d+\.\d+\.\d+")  # others are what an interrupted preparation has left
_SHARD = re.compile(r"(?P<name>\w+)-(?P<split>\w+)\.array_record-(?P<number>\d{5})-of-(?P<count>\d{5})")


class Records:
    """Records of a split by index: maps from a feature's path to its values, flat, in TFDS's order.

    Args:
        folder: of the prepared data set.
        files: the shards of the split.

    Raises:
        UserError: where the files are damaged.
    """

    def __init__(self, folder: pathlib.Path, files: Sequence[pathlib.Path]) -> None:
        from array_record.python.array_record_data_source import ArrayRecordDataSource

        with quiet_tfds():
            from tensorflow_datasets.proto import tf_example_pb2

        messages: Any = tf_example_pb2  # whose classes are made when it is imported
        self._folder, self._files, self._message = folder, files, messages.Example
        try:
            self._source = ArrayRecordDataSource([str(file) for file in files])
        except (RuntimeError, OSError, ValueError) as error:
            raise UserError(f"files of {str(folder)!r} cannot be read: {_line(error)}.") from error

    def __reduce__(self) -> tuple[Any, ...]:
        return Records, (self._folder, self._files)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        """A record: bytes in lists, numbers in arrays.

        Raises:
            UserError: where it is damaged.
        """
        from google.protobuf.message import DecodeError

        try:
            features = self._message.FromString(self._source[index]).features.feature
        except (RuntimeError, OSError, DecodeError) as error:
            raise UserError(f"record {index} of {str(self._folder)!r} cannot be read: {_line(error)}.") from error
        return {key: _values(feature) for key, feature in features.items()}


def versions_in(folder: pathlib.Path) -> list[pathlib.Path]:
    """The folders of a data set's versions that TFDS has prepared, the newest last: 1.10.0 comes after 1.9.0."""
    folders = [version for version in folder.glob("*") if _VERSION.fullmatch(version.name)]
    return sorted(folders, key=lambda version: [int(part) for part in version.name.split(".")])


def open_records(name: str, split: str, data_dir: str | None, advice: str) -> Records:
    """The records of a split of a data set that was prepared in the format array_record, of its newest version.

    Args:
        name: of the data set, with its configuration: `movi_e/128x128`.
        split: of TFDS: `train`.
        data_dir: where TFDS keeps its data; default: `TFDS_DATA_DIR` or `~/tensorflow_datasets`.
        advice: how to get the data, for messages.

    Raises:
        UserError: where there are none, or some of the files are missing.
    """
    root = pathlib.Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    versions = versions_in(root / name)
    if not versions:
        raise UserError(f"TFDS data set {name!r} is not in {str(root)!r}. {advice}")
    shards: dict[str, dict[int, pathlib.Path]] = {}
    expected: dict[str, int] = {}
    for file in versions[-1].iterdir():
        if match := _SHARD.fullmatch(file.name):
            shards.setdefault(match["split"], {})[int(match["number"])] = file
            if expected.setdefault(match["split"], int(match["count"])) != int(match["count"]):
                raise UserError(
                    f"TFDS folder {str(versions[-1])!r} holds files of two preparations: {match['split']} is cut into "
                    f"{expected[match['split']]} and into {int(match['count'])}; expected those of one."
                )
    if not shards:
        raise UserError(f"TFDS data set in {str(versions[-1])!r} has no files in the format array_record. {advice}")
    if split not in shards:
        raise unknown(f"split of {name}:", split, shards)
    files = shards[split]
    builder = name.split("/")[0]
    lacking = [
        f"{builder}-{split}.array_record-{i:05d}-of-{expected[split]:05d}"
        for i in range(expected[split])
        if i not in files
    ]
    if lacking:
        raise half_copied("TFDS", versions[-1], lacking)
    return Records(versions[-1], [files[i] for i in sorted(files)])


def decoded(pngs: Sequence[bytes]) -> np.ndarray:
    """The frames of a video or the images of a sequence: (s, h, w, c), uint8 or uint16 as they are stored.

    Raises:
        UserError: where one does not decode.
    """
    return np.stack([_decoded(png) for png in pngs])


def _decoded(png: bytes) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(png)) as image:
            codec, box, offset, mode = image.tile[0]
            if mode not in _KEPT:
                raise UserError(f"an image is stored as {mode}, in which its numbers are not those of its pixels.")
            array = np.asarray(image)
        if mode == "RGB;16B":
            # Pillow keeps the upper byte of 16 bit colours; read as if their bytes were swapped, it keeps the lower.
            with Image.open(io.BytesIO(png)) as image:
                image.tile = [cast(Any, (codec, box, offset, "RGB;16L"))]
                array = 256 * array.astype(np.uint16) + np.asarray(image)
    except (OSError, SyntaxError, ValueError, IndexError) as error:
        raise UserError(f"an image does not decode: {_line(error)}.") from error
    return array if array.ndim == 3 else array[..., None]


def _values(feature: Any) -> Any:
    kind = feature.WhichOneof("kind")
    if kind is None:
        return np.zeros(0)
    values = getattr(feature, kind).value
    if kind == "bytes_list":
        return list(values)
    return np.array(values, np.float32 if kind == "float_list" else np.int64)


def _line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]
