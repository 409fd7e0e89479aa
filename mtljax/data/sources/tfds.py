"""Any TensorFlow Datasets builder as a multi-task data set."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, SupportsIndex

from mtljax.data.dataset import Example, Source, checked_split
from mtljax.data.meanings import SETTLED, Meaning
from mtljax.data.quiet import quiet_tfds
from mtljax.data.reading import decoding, tfds_download, tfds_pictures
from mtljax.data.reading.records import read_record
from mtljax.errors import UserError, unknown


@dataclasses.dataclass(frozen=True)
class Tfds:
    """See `tfds`."""

    name: str
    splits: Mapping[str, str]
    keys: Mapping[str, str]
    data_dir: str | None = None
    decode: Mapping[str, decoding.How] = dataclasses.field(default_factory=dict)

    @property
    def meanings(self) -> dict[str, Meaning]:
        """The names of classes where the builder has them, else the feature of a label whose name does not say it."""
        features = prepared(self.name, self.data_dir).info.features
        labels = {key: path for key, path in self.keys.items() if key not in ("image", *SETTLED)}
        return {key: _meaning(features, path, self.name) for key, path in labels.items()}

    def split(self, name: str) -> Source:
        """The examples of a split, prepared on first use.

        Raises:
            UserError: for a builder, split or feature that does not exist, or data that cannot be prepared.
        """
        checked_split(self.name, name, self.splits)
        builder = prepared(self.name, self.data_dir)
        wanted = self.splits[name]
        if wanted.split("[")[0] not in builder.info.splits:
            raise unknown(f"split of TFDS data set {self.name}:", wanted, builder.info.splits)
        with quiet_tfds():
            if builder.info.splits[wanted].num_examples == 0:
                raise UserError(f"TFDS data set {self.name}: its split {wanted!r}, for {name}, has no examples.")
            records = builder.as_data_source(wanted, decoders=tfds_pictures.as_files(builder.info.features))
            first = _first(records, self.name)  # The first image that a process decodes makes TFDS ask for OpenCV.
        for path in self.keys.values():
            _feature(first, path, self.name)
        source = TfdsSource(self.name, records, dict(self.keys), self.decode)
        source[0]  # What is stored in a way that cannot be told is said now, not when training has begun.
        return source


def tfds(
    name: str,
    split: str | Mapping[str, str] | None = None,
    keys: Mapping[str, str] | None = None,
    data_dir: str | None = None,
    decode: Mapping[str, decoding.How] | None = None,
) -> Tfds:
    """A TensorFlow Datasets builder whose features are labels for several tasks, read without TensorFlow.

    Args:
        name: of the builder, with its configuration: `cifar100`, `scenes/tiny`.
        split: {"train": ..., "validation": ...} in TFDS's slicing language; one string means that split's first 90 %
            and its last 10 %; default: the builder's `train`, with `validation` from its `test`.
        keys: our key -> path of the builder's feature, nested ones with `/`: {"image": "image", "fine": "label"}.
        data_dir: where TFDS keeps its data; default: `TFDS_DATA_DIR` or `~/tensorflow_datasets`.
        decode: our key -> how stored numbers are to be read, where their type does not tell: {"depth": 0.001} for
            millimetres, {"image": 1 / 65535} for 16 bits, {"normal": (2 / 255, -1)}, {"image": "rgb"} for the first
            three of four channels, {"label": "classes"} for classes stored as floats; see
            `mtljax.data.reading.decoding`.

    Returns:
        A data set. Images of uint8 stay, as (s, H, W, 3) with s = 1 for single ones, and those of floats in [0, 1]
        become float32; grey ones are repeated. Whole numbers are classes, int32, with a mask that is False for
        negative ones; floats are numbers, float32, with a mask that is False where they are not finite; dense labels
        are (s, H, W, C), and depth is valid where positive.

    Raises:
        UserError: where `keys` does not name the image, or `decode` has what is no way to read. When examples are
            read: for numbers whose meaning neither their type nor `decode` tells.

    Example:
        >>> data = tfds("cifar100", keys={"image": "image", "fine": "label", "coarse": "coarse_label"})
        >>> data.splits["validation"]
        'test'
    """
    if not keys or "image" not in keys:
        raise UserError(f"tfds({name!r}): keys must name the image and the labels, as in {{'image': 'image', ...}}.")
    if split is None:
        split = {"train": "train", "validation": "test"}
    elif isinstance(split, str):
        split = {"train": f"{split}[:90%]", "validation": f"{split}[90%:]"}
    return Tfds(name, split, keys, data_dir, decoding.checked(f"tfds({name!r})", decode, keys))


@dataclasses.dataclass(frozen=True)
class TfdsSource:
    """Examples of a TFDS split, by index.

    Attributes:
        name: of the data set, for messages.
        records: the TFDS data source.
        keys: our key -> feature path.
        decode: our key -> how to read what is stored: see `mtljax.data.reading.decoding`.
    """

    name: str
    records: Any
    keys: Mapping[str, str]
    decode: Mapping[str, decoding.How]

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: SupportsIndex) -> Example:
        record = read_record(self.records, int(index))
        example: Example = {}
        for key, path in self.keys.items():
            value, how = _feature(record, path, self.name), self.decode.get(key)
            try:
                value = tfds_pictures.pixels(value)
                example |= decoding.image(value, how) if key == "image" else decoding.label(key, value, how)
            except UserError as error:
                raise UserError(
                    f"TFDS data set {self.name}, feature {path!r}, example {int(index)}: {error}"
                ) from error
        return example


def _meaning(features: Any, path: str, name: str) -> Meaning:
    for part in path.split("/"):
        features = features[part] if part in getattr(features, "keys", tuple)() else None
    names = getattr(features, "names", None)
    return tuple(names) if names else f"{path!r} of {name}"


def _first(records: Any, name: str) -> dict[str, Any]:
    try:
        return read_record(records, 0)
    except (ValueError, ImportError, NotImplementedError) as error:
        if isinstance(error, UserError):
            raise
        reason = str(error).strip().split("\n")[0][:200]
        raise UserError(
            f"TFDS data set {name!r}: TFDS does not decode its features without TensorFlow: {reason}. Expected images, "
            "numbers, classes and texts; a data set of your own (docs/data.md) can read the rest."
        ) from error


def _feature(record: Mapping[str, Any], path: str, name: str) -> Any:
    value: Any = record
    for part in path.split("/"):
        if not isinstance(value, Mapping) or part not in value:
            there = value if isinstance(value, Mapping) else {}
            raise unknown(f"feature of TFDS data set {name} in {path!r}:", part, there)
        value = value[part]
    return value


def prepared(name: str, data_dir: str | None) -> Any:
    """The builder of a name, prepared where it is not yet.

    Raises:
        UserError: where there is no such builder, or its data cannot be had.
    """
    with quiet_tfds():
        import tensorflow_datasets
        from tensorflow_datasets.core.registered import DatasetNotFoundError

        try:
            builder = tensorflow_datasets.builder(name, data_dir=data_dir, file_format="array_record")
        except DatasetNotFoundError:
            first = name.split("/")[0]
            where = data_dir or os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
            raise UserError(
                f"{unknown('TFDS data set', first, _names())} A builder of your own is found by what it has prepared, "
                f"and {where} has no {first!r}: name the folder it is in, data_dir='...'."
            ) from None
        except ValueError as error:
            raise UserError(f"TFDS data set {name!r}: {error}") from error
        if not builder.is_prepared():
            try:
                tfds_download.prepare(builder)
            except Exception as error:  # Downloads fail in many ways; all of them mean that there is no data.
                reason = str(error).strip().split("\n")[0][:200]
                raise UserError(
                    f"TFDS data set {name!r} is not prepared in {builder.data_dir} and could not be: {reason}. Prepare "
                    f"it where there is a network: tfds build {name} --file_format=array_record. Then copy its folder "
                    "here, and name the folder it is in: data_dir='...' or TFDS_DATA_DIR."
                ) from error
    return builder


def _names() -> list[str]:
    import tensorflow_datasets

    # Community data sets are listed over the network, with TensorFlow.
    return tensorflow_datasets.list_builders(with_community_datasets=False)
