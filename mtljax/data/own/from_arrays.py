"""A data set of arrays that are in memory, or in a file of NumPy's."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtljax.data.dataset import SPLITS
from mtljax.data.labels.objects import OBJECTS
from mtljax.data.own import splits
from mtljax.data.own.build import data_set
from mtljax.data.own.rows import Part, Rows
from mtljax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Columns:
    """Rows of arrays of one length."""

    arrays: Mapping[str, Any]

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {key: array[index] for key, array in self.arrays.items()}


def from_arrays(
    arrays: Mapping[str, Any] | str,
    labels: Mapping[str, Any] | None = None,
    *,
    inputs: str | Sequence[str] = "image",
    validation: Any = 0.2,
    split: str | None = None,
    together: str | None = None,
    seed: int = 0,
    size: tuple[int, int] | None = None,
    decode: Mapping[str, Any] | None = None,
    channels_first: bool = False,
    objects: int = OBJECTS,
    name: str = "arrays",
) -> Rows:
    """A data set of arrays, or lists, with one entry an example.

    Args:
        arrays: key -> array: `image` (N, H, W, C), grey (N, H, W), clips (N, s, H, W, C) or features (N, F); and
            labels, whole numbers as classes, floats as numbers, texts as classes by name, others as
            `mtljax.data.dataset` says for their name. What is None or NaN is no label, and neither is what the mask
            says is none, `age_valid` for `age`. Objects, `instances`, are a list of dicts as for `from_iterable`, or a
            dict of arrays (N, n, ...), with `instances_valid` (N, n). Or the name of a file `.npz`.
        labels: label -> its kind, as for `from_iterable`; by default all keys but `inputs`, of the kinds found out.
        inputs: key of what becomes `image`; a list of several makes a tree of arrays, `inputs` in batches.
        validation: the share that is held out, at random; or the arrays that are, as `arrays` are.
        split: key under which the name of each example's split stands.
        together: key of what must be in one split where it is one, such as a person's name.
        seed: of the share's draw.
        size: (height, width) that all pictures and maps get.
        decode: key -> how numbers are read: a factor, see `mtljax.data.tfds`.
        channels_first: whether pictures have their channels first.
        objects: M, to which the objects of an example are padded.
        name: of the data set, for messages.

    Returns:
        A data set with the splits `train` and `validation`.

    Raises:
        UserError: for arrays of several lengths, or what `from_iterable` refuses.

    Example:
        >>> images = np.zeros((10, 4, 6, 3), np.uint8)
        >>> made = from_arrays({"image": images, "age": [3.0, None] * 5, "kind": ["owl", "finch"] * 5})
        >>> print(made)
        arrays: train 8, validation 2
          age: number; missing in 5 of 10 rows
          kind: classes 0 finch, 1 owl
        >>> example = made.split("train")[1]
        >>> example["image"].shape, example["age"], example["age_valid"]
        ((1, 4, 6, 3), array(0., dtype=float32), array(False))
    """
    call = "from_arrays(...)"
    columns = _columns(call, arrays)
    if isinstance(validation, int | float):
        parts = splits.cut(call, Part(columns, range(len(columns))), validation, split, [together], seed)
    elif split or together:
        raise UserError(f"{call}: validation is given; expected no split=... or together=... beside it.")
    else:
        both = zip(SPLITS, (columns, _columns(f"{call}: validation", validation)), strict=True)
        parts = {key: Part(part, range(len(part)), kind=f"{key} row") for key, part in both}
    return data_set(
        call,
        name,
        parts,
        inputs=inputs,
        labels=labels,
        decode=decode,
        size=size,
        channels_first=channels_first,
        objects=objects,
        besides=(split, together),
        all_at_hand=any(not isinstance(a, np.ndarray) or a.dtype.kind not in "biuf" for a in columns.arrays.values()),
    )


def _columns(call: str, arrays: Any) -> Columns:
    """Arrays by key, all with one entry an example."""
    if isinstance(arrays, str | pathlib.Path):
        arrays = _file(call, pathlib.Path(arrays).expanduser())
    if not isinstance(arrays, Mapping) or not arrays:
        kind = f"{type(arrays).__name__}{' of nothing' if isinstance(arrays, Mapping) else ''}"
        raise UserError(f"{call}: a {kind}; expected arrays by name: {{'image': ..., 'kind': ...}}.")
    found = {}
    for key, value in _apart(call, arrays).items():
        kept = isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)
        if not kept and (isinstance(value, str | bytes | Mapping) or np.ndim(value) == 0):
            raise UserError(
                f"{call}: {key!r} is a {type(value).__name__}; expected an array, or a list, with one entry an example."
            )
        found[key] = value if kept else np.asarray(value)
    lengths = {key: len(value) for key, value in found.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{key!r} {length}" for key, length in lengths.items())
        raise UserError(f"{call}: arrays differ in length: {listed}; expected one entry an example in each.")
    return Columns(found)


def _apart(call: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Dicts of arrays, of objects and cameras, as lists of dicts."""
    found = dict(arrays)
    for key in ("instances", "camera"):
        if isinstance(arrays.get(key), Mapping) and arrays[key]:
            lengths = {name: len(part) for name, part in arrays[key].items()}
            if len(set(lengths.values())) > 1:
                raise UserError(f"{call}: {key!r} has {lengths}; expected one entry an example in each.")
            found[key] = [dict(zip(lengths, parts, strict=True)) for parts in zip(*arrays[key].values(), strict=True)]
    return found


def _file(call: str, file: pathlib.Path) -> dict[str, Any]:
    """The arrays of a file `.npz`; those of objects, which would run code, are refused."""
    try:
        with np.load(file) as loaded:
            if not isinstance(loaded, Mapping):
                raise UserError(f"{call}: {str(file)!r} holds one array without a name; expected a file .npz.")
            return dict(loaded)
    except FileNotFoundError:
        raise UserError(f"{call}: {str(file)!r} does not exist.") from None
    except UserError:
        raise
    except Exception as error:  # of zip files, and of what is stored in them
        why = "; expected a file .npz, of plain arrays" if file.suffix != ".npz" else f": {error}"
        raise UserError(f"{call}: {str(file)!r} cannot be read{why}.") from error
