"""Labels under other names, and with their classes in another list."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np

from mtljax.data.dataset import DataSet, Example, Source
from mtljax.data.meanings import SETTLED, Meaning
from mtljax.errors import UserError, unknown

CATEGORY = "category"  # of objects, in `instances`
Classes = Mapping[str, Sequence[str] | Mapping[str | None, Sequence[str]]]


@dataclasses.dataclass(frozen=True)
class Relabelled:
    """A source with labels under other names, and with their classes in another list.

    Attributes:
        source: of examples.
        names: a label -> its name here.
        tables: a name here -> of each class of the source the one here, or -1 for none.
        where: for messages.
    """

    source: Source
    names: Mapping[str, str]
    tables: Mapping[str, np.ndarray]
    where: str

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: SupportsIndex) -> Example:
        return self.changed(self.source[index])

    def changed(self, example: Example) -> Example:
        """The example with these names and classes.

        Raises:
            UserError: where a class is in no list.
        """
        names = {**self.names} | {f"{old}_valid": f"{new}_valid" for old, new in self.names.items()}
        result = {names.get(key, key): value for key, value in example.items()}
        for label, table in self.tables.items():
            if label == CATEGORY and "instances" in result:
                result["instances"] = self._objects(result["instances"], result["instances_valid"], table)
            elif label in result:
                valid = np.asarray(result[f"{label}_valid"])
                found = self._looked_up(label, np.asarray(result[label]), valid, table)
                result[label] = np.where(valid & (found >= 0), found, 0).astype(np.int32)
                result[f"{label}_valid"] = np.asarray(valid & (found >= 0))
        return result

    def _looked_up(self, label: str, ids: np.ndarray, valid: np.ndarray, table: np.ndarray) -> np.ndarray:
        strange = valid & ((ids < 0) | (ids >= len(table)))
        if np.any(strange):
            raise UserError(f"{self.where} has the class {ids[strange][0]} of {label!r}; it names {len(table)}.")
        return table[np.where(valid, ids, 0)]

    def _objects(self, instances: Example, valid: np.ndarray, table: np.ndarray) -> Example:
        """Objects with other classes; what is of none, or background, is ignored."""
        found = self._looked_up(CATEGORY, instances[CATEGORY], valid, table)
        ignored = instances.get("ignored", np.zeros(instances["bboxes"].shape[:2], bool))
        return instances | {
            CATEGORY: np.where(valid, np.maximum(found, 1), 0).astype(np.int32),
            "ignored": ignored | (valid & (found < 1))[:, None],
        }


def checked_rename(rename: Any, sets: Mapping[str, DataSet]) -> dict[str, dict[str, str]]:
    """The argument `rename` of `mix`.

    Raises:
        UserError: where it is no map from sets to maps from labels to names.
    """
    rename = {} if rename is None else rename
    if not isinstance(rename, Mapping) or not all(isinstance(names, Mapping) for names in rename.values()):
        raise UserError(f"mix(rename={rename!r}): expected names by set, as in {{'street': {{'edge': 'border'}}}}.")
    for key, names in rename.items():
        if key not in sets:
            raise unknown("set in the rename of mix:", str(key), sets)
        for old, new in names.items():
            if not isinstance(new, str) or not new.isidentifier() or new in ("image", "camera") or "_valid" in new:
                raise UserError(f"mix(rename={{{key!r}: {{{old!r}: {new!r}}}}}): expected the name of a label.")
            if old != new and (old in SETTLED or new in SETTLED or "segmentations" in (old, new)):
                settled = old if old in SETTLED else new
                raise UserError(
                    f"mix(rename={{{key!r}: {{{old!r}: {new!r}}}}}): {settled!r} is known by its name, to "
                    "augmentations as well; expected another label."
                )
    return {key: dict(names) for key, names in rename.items()}


def checked_classes(classes: Any) -> dict[str, dict[str | None, tuple[str, ...]]]:
    """The argument `classes` of `mix`: label -> a class here -> its other names.

    Raises:
        UserError: where it is something else, or a name stands for two classes.
    """
    result = {}
    if not isinstance(classes or {}, Mapping):
        raise UserError(f"mix(classes={classes!r}): expected classes by label, as in {{'semantic': {{'road': []}}}}.")
    for label, given in (classes or {}).items():
        listed = isinstance(given, Sequence) and not isinstance(given, str)
        lists: Any = dict.fromkeys(given, ()) if listed else given
        fine = isinstance(lists, Mapping) and all(
            (key is None or isinstance(key, str)) and isinstance(names, tuple | list) and all(map(_is_text, names))
            for key, names in lists.items()
        )
        if not fine or not any(isinstance(key, str) for key in lists):
            raise UserError(
                f"mix(classes={{{label!r}: {given!r}}}): expected names, or names with lists of other names for the "
                "same: {'pavement': ['sidewalk'], None: ['rider']}, where None holds those that are no class here."
            )
        known = [name for key, names in lists.items() for name in ([key] if key else []) + list(names)]
        if twice := sorted({name for name in known if known.count(name) > 1}):
            raise UserError(f"mix(classes={{{label!r}: ...}}): {', '.join(twice)} stands for two classes.")
        ahead = {"background": ()} if label == CATEGORY and "background" not in known else {}
        result[label] = ahead | {key: tuple(names) for key, names in lists.items()}
        first = next((key, *names) for key, names in result[label].items() if key is not None)
        if label == CATEGORY and "background" not in first:
            raise UserError(
                f"mix(classes={{{label!r}: ...}}): 'background' is class 0 of objects, which is none: expected it "
                "first, or not there at all; what is no class of yours stands under None."
            )
    return result


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def table(where: str, label: str, meaning: Meaning | None, classes: Mapping[str | None, Sequence[str]]) -> np.ndarray:
    """(n,) int32: of each class that a set names, its place among `classes`, or -1.

    Raises:
        UserError: where the set names no classes, or one that `classes` has not.
    """
    if not isinstance(meaning, tuple):
        raise UserError(
            f"{where} does not name the classes of {label!r}, so that they cannot be mapped; give the data set "
            f"`meanings` = {{{label!r}: names of its classes in their order}}."
        )
    here = [key for key in classes if key is not None]
    places = {name: here.index(key) if key else -1 for key in classes for name in ([key] if key else [])}
    places |= {name: here.index(key) if key else -1 for key, names in classes.items() for name in names}
    lacking = [name for name in meaning if name not in places]
    if lacking:
        raise UserError(
            f"{where}: {', '.join(lacking)} of {label!r} in no class of mix(classes=...); expected each among {here}, "
            "among another's names, or among those of None, which are no class."
        )
    return np.array([places[name] for name in meaning], np.int32)
