"""From rows, and what is said of them, to a data set: what labels there are, what each is, what names classes have."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mtljax.data.dataset import Example
from mtljax.data.labels.objects import OBJECTS, checked_objects
from mtljax.data.meanings import listed
from mtljax.data.own.kinds import PLACES, Kind, found_out, is_missing, told_kind
from mtljax.data.own.objects import BESIDES
from mtljax.data.own.rows import Part, Reader, Rows
from mtljax.data.reading import decoding
from mtljax.data.resize import checked_size
from mtljax.errors import UserError, unknown

_LOOKED_AT = 64  # rows in which kinds of labels are found out, where looking at all of them would take long
_ROWS, _SHARE = 20, 0.5  # from so many rows on, names that are not told and of which so many differ are no classes


def data_set(
    call: str,
    name: str,
    parts: Mapping[str, Part],
    *,
    inputs: Any,
    labels: Any,
    decode: Any,
    size: Any,
    channels_first: bool = False,
    besides: Iterable[str | None] = (),
    known: Mapping[str, tuple[str, ...]] | None = None,
    all_at_hand: bool = False,
    objects: int = OBJECTS,
) -> Rows:
    """A data set of rows, with the kinds of its labels found out.

    Args:
        call: for messages.
        name: of the data set.
        parts: split -> rows.
        inputs: key of the picture or the vector, or several of a tree.
        labels: label -> kind, as `kinds.told_kind` takes it, or None for all keys of the rows.
        decode: key -> how to read numbers, or None.
        size: that all pictures get, or None.
        channels_first: whether arrays of pictures are so.
        besides: keys that are no labels unless `labels` says so.
        known: label -> names of its classes by number, as the rows' own library has them.
        all_at_hand: whether looking at every row costs nothing.
        objects: M, to which the objects of a row are padded.

    Raises:
        UserError: for what is not there, or of no known kind.
    """
    looked_at = _rows(parts, None if all_at_hand else _LOOKED_AT)
    keys = list(dict.fromkeys(key for _, row in looked_at for key in row))
    inputs = _inputs(call, inputs, keys)
    decode = decoding.checked(call, _as_image(decode, inputs), [_as_image_key(key, inputs) for key in keys])
    taken = {*besides, *([inputs] if isinstance(inputs, str) else inputs)} - {*(labels or ())}
    listing = "instances" in keys and (labels is None or "instances" in labels)
    taken |= {"instances", *BESIDES} if listing else set()
    said = {}
    if isinstance(labels, Mapping):
        said = {key: kind for key, kind in labels.items() if isinstance(kind, str) and kind in PLACES}
        labels = {key: None if key in said else kind for key, kind in labels.items() if key not in taken}
    wanted = _wanted(call, labels, [key for key in keys if key not in taken and not _is_mask(key, keys)])
    kinds = {key: _kind(call, key, kind, looked_at, decode.get(key), said.get(key)) for key, kind in wanted.items()}
    if any(kind.seeks_names for kind in kinds.values()):
        every = looked_at if all_at_hand else _rows(_of_columns(parts, list(wanted)), None)
        kinds = {key: _with_names(call, key, kind, every, wanted[key]) for key, kind in kinds.items()}
    how = {inputs if key == "image" and isinstance(inputs, str) else key: value for key, value in decode.items()}
    if size is not None and not isinstance(inputs, str):
        raise UserError(f"{call}: size={size!r} is for pictures; inputs={list(inputs)!r} are none.")
    size = None if size is None else checked_size(size)
    meanings = {key: names for key, names in (known or {}).items() if key in kinds}
    meanings |= {key: kind.names for key, kind in kinds.items() if kind.names}
    reader = Reader(call, inputs, kinds, how, size, channels_first, frozenset(looked_at[0][1]), said)
    if listing:
        reader = dataclasses.replace(reader, objects=checked_objects(call.partition("(")[0], objects))
        reader = dataclasses.replace(reader, first=_first_objects(reader, parts))
    notes = tuple(_note(key, kind, looked_at, all_at_hand, meanings.get(key)) for key, kind in kinds.items())
    return Rows(name, parts, reader, meanings, notes)


def _rows(parts: Mapping[str, Part], most: int | None) -> list[tuple[str, Mapping[str, Any]]]:
    """The first rows of each split, or all, with where they are."""
    return [(part.place(i), part.row(i)) for part in parts.values() for i in range(len(part))[:most]]


def _of_columns(parts: Mapping[str, Part], keys: list[str]) -> dict[str, Part]:
    """The rows without what is not asked for, where their library can leave out pictures, which take long."""
    return {
        split: dataclasses.replace(part, rows=part.rows.select_columns(keys))
        if hasattr(part.rows, "select_columns")
        else part
        for split, part in parts.items()
    }


def _is_mask(key: str, keys: Sequence[str]) -> bool:
    return key.endswith("_valid") and key.removesuffix("_valid") in keys


def _inputs(call: str, inputs: Any, keys: Sequence[str]) -> str | tuple[str, ...]:
    several = isinstance(inputs, list | tuple)
    names = list(inputs) if several else [inputs]
    for name in names:
        if name not in keys:
            told = unknown("key in inputs=" + repr(inputs) + f" of {call}:", str(name), keys)
            raise UserError(f"{told} Say what the model is given: inputs='...'.")
    return tuple(names) if several else names[0]


def _as_image_key(key: str, inputs: Any) -> str:
    """The name by which `decoding` knows what becomes `image`."""
    return "image" if key == inputs else key


def _as_image(decode: Any, inputs: Any) -> Any:
    return {_as_image_key(key, inputs): how for key, how in decode.items()} if isinstance(decode, Mapping) else decode


def _wanted(call: str, labels: Any, there: Sequence[str]) -> dict[str, Kind | None]:
    """label -> its kind, None where it is to be found out."""
    if labels is None:
        return dict.fromkeys(there)
    if not isinstance(labels, Mapping):
        raise UserError(f"{call}: labels={labels!r}; expected a dict such as {{'age': float, 'kind': str}}.")
    for key in labels:
        if key not in there:
            raise unknown(f"label of {call}:", str(key), there)
    return {key: told_kind(call, key, kind) for key, kind in labels.items()}


def _is_whole(value: Any) -> bool:
    return not isinstance(value, float) or value != value or value.is_integer()


def _first_objects(reader: Reader, parts: Mapping[str, Part]) -> Example:
    """The objects of the first row that lists some."""
    for part in parts.values():
        for index in range(min(len(part), _LOOKED_AT)):
            if not is_missing(part.row(index).get("instances")):
                example = dataclasses.replace(reader, size=None).example(part, index)
                return {key: example[key] for key in ("instances", *BESIDES) if key in example}
    raise UserError(f"{reader.call}: 'instances' is missing in all rows looked at; expected objects in one of them.")


def _kind(
    call: str,
    key: str,
    kind: Kind | None,
    rows: Sequence[tuple[str, Mapping[str, Any]]],
    how: Any,
    places: str | None = None,
) -> Kind:
    if kind is not None:
        return kind
    looked_at = 0
    for place, row in rows:
        looked_at += 1
        if not Kind("array").is_missing(row.get(key)):
            try:
                found = found_out(key, row[key], how, places)
                fractions = found.what == "class" and any(not _is_whole(row.get(key)) for _, row in rows)
                return Kind("number") if fractions else found
            except UserError as error:
                raise UserError(
                    f"{call}, {place}: {error} Labels that are wanted: labels={{'name': float}}."
                ) from error
    raise UserError(
        f"{call}: {key!r} is missing in all {looked_at} rows looked at, so that its kind is not known; say it, as in "
        f"labels={{{key!r}: float}}."
    )


def _with_names(
    call: str, key: str, kind: Kind, rows: Sequence[tuple[str, Mapping[str, Any]]], told: Kind | None
) -> Kind:
    """A kind with the names of its classes, sorted; as it is where it has them or needs none."""
    if not kind.seeks_names:
        return kind
    found: collections.Counter[str] = collections.Counter()
    for place, row in rows:
        try:
            found.update(kind.names_in(row.get(key)))
        except UserError as error:
            raise UserError(f"{call}, {place}: {key!r}: {error}") from error
    if len(found) < 2:
        raise UserError(f"{call}: {key!r} has the one class {', '.join(found) or 'of no name'}; expected two or more.")
    if told is None and len(rows) > _ROWS and len(found) > _SHARE * len(rows):
        raise UserError(
            f"{call}: {key!r} has {len(found)} names in {len(rows)} rows, such as {min(found)!r}: no classes to learn. "
            "Name the labels that are wanted: labels={'kind': str, 'age': float}."
        )
    return Kind(kind.what, tuple(sorted(found)))


def _note(
    key: str,
    kind: Kind,
    rows: Sequence[tuple[str, Mapping[str, Any]]],
    all_at_hand: bool,
    names: tuple[str, ...] | None,
) -> str:
    """One line on a label: its kind, its classes by number, how many rows lack it."""
    line = f"{key}: {'classes' if kind.what == 'name' else kind.what}{f' {listed(names)}' if names else ''}"
    lacking = sum(kind.is_missing(row.get(key)) for _, row in rows) if all_at_hand else 0
    return f"{line}; missing in {lacking} of {len(rows)} rows" if lacking else line
