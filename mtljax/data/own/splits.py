"""Which rows are for training and which for validation: by share, by a column, or given."""

import dataclasses
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from mtljax.data.dataset import SPLITS
from mtljax.data.own.kinds import is_missing
from mtljax.data.own.rows import Part
from mtljax.errors import UserError, unknown

_NAMES = {"train": ("train", "training"), "validation": ("validation", "valid", "val", "dev")}
_STANDS_FOR = {name: split for split, names in _NAMES.items() for name in names}


def named(name: Any) -> str:
    """The split that a word stands for: `val`, `valid` and `dev` are `validation`; others stay.

    Example:
        >>> named("Val"), named("test")
        ('validation', 'test')
    """
    return _STANDS_FOR.get(str(name).strip().lower(), str(name).strip())


def cut(
    call: str, whole: Part, validation: Any, column: str | None, together: Sequence[str | None], seed: int
) -> dict[str, Part]:
    """Rows in splits: by what each says under the key `column`, or a share drawn at random.

    Rows with one value under any of the keys `together` (None is no key) are drawn together.

    Raises:
        UserError: where rows lack what is asked for, or a split would be empty.
    """
    if len(whole) == 0:
        raise UserError(f"{call}: there are no rows.")
    if column:
        places = [whole.place(i) for i in range(len(whole))]
        found = by_column(call, column, _values(call, whole, column), places)
    else:
        keys = [_values(call, whole, key) for key in together if key is not None]
        found = by_share(call, joined(len(whole), keys), validation, seed)
    return {key: dataclasses.replace(whole, indices=indices) for key, indices in found.items()}


def by_share(call: str, groups: Sequence[Hashable], share: Any, seed: int) -> dict[str, tuple[int, ...]]:
    """Rows drawn at random for validation; each split keeps their order.

    Args:
        call: for messages.
        groups: of each row what it goes with: rows of one group are in one split.
        share: of the groups that are for validation, between 0 and 1; at least one, and not all.
        seed: of the draw.

    Raises:
        UserError: for a share that cannot be, or fewer than two groups.

    Example:
        >>> found = by_share("from_arrays(...)", range(10), 0.2, seed=0)
        >>> len(found["train"]), len(found["validation"])
        (8, 2)
    """
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise UserError(f"{call}: validation={share!r}; expected a share between 0 and 1, or what is held out itself.")
    kinds = list(dict.fromkeys(groups))
    if len(kinds) < 2 <= len(groups):
        raise UserError(f"{call}: all {len(groups)} rows go together, so that none can be held out; expected 2 groups.")
    if len(kinds) < 2:
        raise UserError(f"{call}: {len(groups)} rows are too few to hold some out; expected at least 2.")
    number = min(max(1, round(share * len(kinds))), len(kinds) - 1)
    held_out = {kinds[i] for i in np.random.default_rng(seed).permutation(len(kinds))[:number]}
    is_held_out = [group in held_out for group in groups]
    return {split: tuple(i for i, out in enumerate(is_held_out) if out == (split == "validation")) for split in SPLITS}


def joined(number: int, keys: Iterable[Sequence[Hashable]]) -> list[int]:
    """The group of each row, by its first row: those are in one that are alike in any key, or by way of others.

    A value that is missing makes no two rows alike.

    Args:
        number: of rows.
        keys: of each key the rows' values.

    Example:
        >>> joined(5, [["ann", "ann", "bob", "", ""], ["1.png", "2.png", "2.png", "3.png", "4.png"]])
        [0, 0, 0, 3, 4]
    """
    group = list(range(number))

    def first(i: int) -> int:
        while group[i] != i:
            group[i] = group[group[i]]
            i = group[i]
        return i

    for values in keys:
        seen: dict[Hashable, int] = {}
        for i, value in enumerate(values):
            if not is_missing(value):
                a, b = first(i), first(seen.setdefault(value, i))
                group[max(a, b)] = min(a, b)
    return [first(i) for i in range(number)]


def by_column(call: str, column: str, values: Sequence[Any], places: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Rows by the name of their split.

    Args:
        call: for messages.
        column: its name, for messages.
        values: of each row the name of its split.
        places: of each row, for messages.

    Raises:
        UserError: for a row without one, and where none is for training or none for validation.

    Example:
        >>> by_column("from_table(...)", "part", ["train", "val", "train"], ["line 2", "line 3", "line 4"])
        {'train': (0, 2), 'validation': (1,)}
    """
    found: dict[str, list[int]] = {}
    for i, value in enumerate(values):
        if is_missing(value):
            raise UserError(f"{call}: {places[i]} has no {column!r}; expected the name of its split.")
        found.setdefault(named(value), []).append(i)
    must_have_both(f"{call}: in {column!r}", found)
    return {split: tuple(rows) for split, rows in found.items()}


def must_have_both(where: str, splits: Iterable[str]) -> None:
    """Raises `UserError` where there is nothing to train on, or nothing to validate on."""
    there = list(splits)
    lacking = [split for split in SPLITS if split not in there]
    if lacking:
        listed = ", ".join(map(repr, sorted(there)[:8])) or "nothing"
        raise UserError(f"{where} there is {listed}, and no {lacking[0]!r}; expected 'train' and 'validation'.")


def _values(call: str, whole: Part, key: str) -> list[Any]:
    rows = whole.rows.select_columns([key]) if hasattr(whole.rows, "select_columns") else whole.rows
    part = dataclasses.replace(whole, rows=rows)
    if key not in whole.row(0):
        raise unknown(f"key of {call}:", key, whole.row(0))
    return [_plain(call, part.place(i), key, part.row(i).get(key)) for i in range(len(part))]


def _plain(call: str, place: str, key: str, value: Any) -> Any:
    """A value by which rows are told apart: of an array of one number, of any library, that number."""
    if getattr(value, "shape", None) in ((), (1,)):
        value = np.asarray(value).reshape(()).item()
    if not isinstance(value, Hashable):
        raise UserError(f"{call}, {place}: {key!r} is a {type(value).__name__}; expected a name or a number.")
    return value
