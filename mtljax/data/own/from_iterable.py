"""Rows of any kind by their number: lists of dicts, Hugging Face data sets, those of PyTorch, maps of grain."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtljax.data.labels.objects import OBJECTS
from mtljax.data.own import splits
from mtljax.data.own.build import data_set
from mtljax.data.own.rows import Part, Rows
from mtljax.errors import UserError

_ENDLESS = 2**40
_EXPECTED = "rows with a length and `rows[i]`: a list of dicts, a Hugging Face or PyTorch data set, a grain MapDataset"


def from_iterable(
    rows: Any,
    labels: Mapping[str, Any] | None = None,
    *,
    inputs: str | Sequence[str] = "image",
    names: Sequence[str] | None = None,
    validation: Any = 0.2,
    split: str | None = None,
    together: str | None = None,
    seed: int = 0,
    size: tuple[int, int] | None = None,
    decode: Mapping[str, Any] | None = None,
    channels_first: bool = False,
    objects: int = OBJECTS,
    name: str = "rows",
) -> Rows:
    """A data set of rows, each a dict of a picture and its labels, read by their number when they are asked for.

    Pictures are Pillow's, file names or arrays, grey ones too; a vector of features stands for one. A label that is
    None, NaN, empty or not there is missing, and one without a mask (`age_valid` for `age`) is valid everywhere. Texts
    are classes by name, whole numbers classes, floats numbers, lists of texts tags, other arrays what
    `mtljax.data.dataset` says for their name. Names of classes are sorted, and kept in `meanings`. A dict under the key
    `instances` lists a row's objects, with what `mtljax.data.instances` takes, any number of them; beside it stand
    `segmentations`, their map, and `camera`. Where it is None they are not listed.

    Args:
        rows: what has a length and gives a row by its number: a list of dicts, a Hugging Face `Dataset`, a PyTorch
            `Dataset`, a grain `MapDataset`. Or a dict from splits to such rows.
        labels: label -> `float`, `int` (a class by its number), `str` (by name; all rows are gone through for them), a
            list of names in the order that their numbers shall have, 'tags', or 'points' (K, 2) in pixels or 'boxes'
            (K, 4) in shares of the picture, which augmentations keep true; None to find it out. By default all
            keys but `inputs` are labels, and kinds are found out from the first 64 rows.
        inputs: key of the picture; a list of several makes a tree of arrays, `inputs` in batches.
        names: of the parts of rows that are tuples, as ('image', 'kind').
        validation: the share that is held out, at random; or the rows that are, as `rows` is.
        split: key under which each row says its split, `train`, `validation` (or `val`) or another.
        together: key under which rows have one value that must be in one split, such as a person's name.
        seed: of the share's draw.
        size: (height, width) that all pictures and maps get; else they must have one.
        decode: key -> how numbers are read: a factor, see `mtljax.data.tfds`.
        channels_first: whether pictures that are arrays have their channels first.
        objects: M, to which the objects of an example are padded.
        name: of the data set, for messages.

    Returns:
        A data set with the splits `train` and `validation`.

    Raises:
        UserError: for a stream, or rows without an end; for labels that are not there or of no known kind. Reading a
            row raises one that names the row, the key, what was found and what was expected.

    Example:
        >>> import numpy as np
        >>> rows = [{"image": np.zeros((4, 6), np.uint8), "kind": "owl" if i % 2 else "finch"} for i in range(10)]
        >>> owls = from_iterable(rows)
        >>> print(owls)
        rows: train 8, validation 2
          kind: classes 0 finch, 1 owl
        >>> example = owls.split("train")[0]
        >>> example["image"].shape, int(example["kind"])
        ((1, 4, 6, 3), 0)
    """
    call = "from_iterable(...)"
    given = _given(call, rows)
    if not isinstance(validation, int | float):
        if "validation" in given:
            raise UserError(f"{call}: rows have a split 'validation', and validation is given; expected one of them.")
        given["validation"] = _with_length(call, validation)
    names = tuple(names or ())
    if list(given) == ["train"]:
        parts = splits.cut(
            call, Part(given["train"], range(len(given["train"])), names), validation, split, [together], seed
        )
    elif split or together:
        raise UserError(f"{call}: splits are given; expected no split=... or together=... beside them.")
    else:
        parts = {key: Part(part, range(len(part)), names, f"{key} row") for key, part in given.items()}
    splits.must_have_both(f"{call}: among the splits given", parts)
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
        known=_class_names(given["train"]),
        all_at_hand=all(isinstance(part, list | tuple) for part in given.values()),
    )


def _given(call: str, rows: Any) -> dict[str, Any]:
    """Split -> its rows; all are of `train` where they are not in splits."""
    if not isinstance(rows, Mapping):
        return {"train": _with_length(call, rows)}
    for key, part in rows.items():
        if isinstance(part, np.ndarray) or not isinstance(_first(part), Mapping | tuple | list):
            raise UserError(
                f"{call}: a dict whose {key!r} is a {type(part).__name__} is no rows; expected {_EXPECTED}, or such by "
                "split. Arrays by name are for from_arrays({...})."
            )
    found: dict[str, Any] = {}
    for key, part in rows.items():
        if splits.named(key) in found:
            raise UserError(f"{call}: splits {', '.join(map(str, rows))}: two of them are {splits.named(key)!r}.")
        found[splits.named(key)] = _with_length(call, part)
    return found


def _first(part: Any) -> Any:
    return part[0] if hasattr(part, "__getitem__") and hasattr(part, "__len__") and len(part) else part


def _with_length(call: str, rows: Any) -> Any:
    """The rows, of which each can be had by its number."""
    kind = type(rows).__name__
    if hasattr(rows, "iloc"):
        raise UserError(f"{call}: a {kind} gives columns; expected rows: from_iterable(table.to_dict('records')).")
    if isinstance(rows, str | bytes) or not (hasattr(rows, "__len__") and hasattr(rows, "__getitem__")):
        raise UserError(
            f"{call}: a {kind} has no rows by number, which shuffling and resuming need; expected {_EXPECTED}. "
            "A stream that fits into memory is one as list(...)."
        )
    if len(rows) > _ENDLESS:
        raise UserError(f"{call}: a {kind} without an end; expected it before repeat(), which training does itself.")
    if len(rows) == 0:
        raise UserError(f"{call}: a {kind} without rows.")
    return rows


def _class_names(rows: Any) -> dict[str, tuple[str, ...]]:
    """Names of classes that a Hugging Face data set knows."""
    features = getattr(rows, "features", None)
    found = features.items() if isinstance(features, Mapping) else ()
    return {key: tuple(feature.names) for key, feature in found if getattr(feature, "names", None)}
