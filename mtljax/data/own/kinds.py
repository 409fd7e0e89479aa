"""What a label of one's own is: told, or found out from its first values; and how each value is read."""

import contextlib
import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from mtljax.data.dataset import Example
from mtljax.data.reading import decoding, images, text
from mtljax.errors import UserError, unknown

_SAID: Mapping[Any, str] = {
    float: "number",
    int: "class",
    str: "name",
    "float": "number",
    "int": "class",
    "str": "name",
    "tags": "tags",
    "map": "map",
}
_NO_NUMBER = ("nan", "na", "n/a", "null", "none")  # cells of a column of numbers that hold none
_BETWEEN = re.compile(r"[;|,]")
_LISTED = 8
PLACES: Mapping[str, int] = {"points": 2, "boxes": 4}  # kinds of labels that are told -> numbers of each


@dataclasses.dataclass(frozen=True)
class Kind:
    """How the values of one label are read.

    Attributes:
        what: `number` and `class` (whole numbers) of a whole example; `name` (of a class); `tags` (names, any number of
            them); `map` (file name of a picture whose pixels are classes); `array`.
        names: of classes or tags, in their order; empty where they are still to be found.
        form: of an array: its shape and dtype, and the shape of its mask.
        numbers: of an array of places, of one of them; else 0.
    """

    what: str
    names: tuple[str, ...] = ()
    form: tuple[tuple[int, ...], Any, tuple[int, ...]] = ((), np.float32, ())
    numbers: int = 0

    @property
    def seeks_names(self) -> bool:
        """Whether all values must be looked at before one can be read."""
        return self.what in ("name", "tags") and not self.names

    def names_in(self, value: Any) -> tuple[str, ...]:
        """The names that a value holds, to be sorted with those of the others."""
        return () if is_missing(value) else _names(value) if self.what == "tags" else (str(value).strip(),)

    def read(self, key: str, value: Any, how: decoding.How | None = None) -> Example:
        """A value as a label with its mask; what is missing is 0 and not valid.

        Args:
            key: the label's name.
            value: as a row has it.
            how: to read numbers, see `decoding`.

        Raises:
            UserError: for a value of another kind, or that cannot be meant.
        """
        if self.what != "map" and self.is_missing(value):
            return self._nothing(key)
        if self.what == "name":
            return decoding.label(key, self._place(key, value))
        if self.what == "tags":
            places = [self._place(key, name) for name in _names(value)]
            return {key: np.isin(np.arange(len(self.names)), places).astype(np.uint8), f"{key}_valid": np.array([True])}
        if self.what == "map":
            return {} if is_missing(value) else decoding.label(key, images.class_ids(value), "classes")
        if self.what in ("number", "class"):
            return _scalar(key, value, self.what, how)
        return self._array(key, as_array(key, value), how)

    def is_missing(self, value: Any) -> bool:
        """Whether a value says that there is no label."""
        if self.what in ("number", "class") and isinstance(value, str) and value.strip().lower() in _NO_NUMBER:
            return True
        return is_missing(value)

    def _array(self, key: str, array: np.ndarray, how: decoding.How | None) -> Example:
        """An array as the first of its label was: whole numbers among others are numbers, and no classes."""
        wanted = np.dtype(self.form[1])
        if how is None and array.dtype.kind in "iu" and wanted.kind == "f" and array.dtype != wanted:
            array = decoding.as_numbers(key, array)
        found = decoding.label(key, array, how, self.numbers)
        if found[key].dtype != wanted:
            raise UserError(
                f"{key!r} holds {array.dtype}, which makes {found[key].dtype}; other rows' makes {wanted}. Expected "
                f"one of them in all rows; decode={{{key!r}: 1.0}} reads all as numbers."
            )
        return found

    def _nothing(self, key: str) -> Example:
        if self.what == "tags":
            return {key: np.zeros(len(self.names), np.uint8), f"{key}_valid": np.array([False])}
        if self.what == "array":
            shape, dtype, mask = self.form
            return {key: np.zeros(shape, dtype), f"{key}_valid": np.zeros(mask, bool)}
        return {key: np.zeros((), np.float32 if self.what == "number" else np.int32), f"{key}_valid": np.array(False)}

    def _place(self, key: str, value: Any) -> int:
        if not isinstance(value, str):
            raise UserError(f"{key!r} is {_shown(value)}; expected one of the names {', '.join(self.names[:_LISTED])}.")
        if value.strip() not in self.names:
            raise unknown(f"class of {key!r}:", value.strip(), self.names)
        return self.names.index(value.strip())


def told_kind(call: str, key: str, kind: Any) -> Kind | None:
    """The kind that the argument `labels` says of a label; None where it is to be found out.

    Raises:
        UserError: where it says something else.

    Example:
        >>> told_kind("from_table(...)", "age", float).what, told_kind("from_table(...)", "kind", ["owl", "auk"]).names
        ('number', ('owl', 'auk'))
    """
    if kind is None:
        return None
    if isinstance(kind, list | tuple):
        if len(kind) < 2 or len(set(kind)) < len(kind) or not all(isinstance(name, str) for name in kind):
            raise UserError(f"{call}: labels={{{key!r}: {kind!r}}}; expected two or more different names of classes.")
        return Kind("name", tuple(kind))
    if isinstance(kind, str) and kind not in _SAID:
        known = [word for word in (*_SAID, *PLACES) if isinstance(word, str)]
        raise unknown(f"kind of label {key!r} of {call}:", kind, known)
    if not isinstance(kind, str | type) or kind not in _SAID:
        raise UserError(
            f"{call}: labels={{{key!r}: {kind!r}}}; expected float for numbers, str for names of classes, int for "
            "classes by number, a list of names, 'tags' or 'map'."
        )
    return Kind(_SAID[kind])


def found_out(key: str, value: Any, how: decoding.How | None = None, places: str | None = None) -> Kind:
    """The kind of a label, from a value that is not missing; `places` says that it is one of points, or boxes.

    Raises:
        UserError: for a value of which no label can be made.

    Example:
        >>> [found_out("it", value).what for value in (2.5, 3, "owl", ["red", "round"], np.zeros((4, 6)), [7])]
        ['number', 'class', 'name', 'tags', 'array', 'class']
    """
    if isinstance(value, str):
        return Kind("name")
    words = value.tolist() if isinstance(value, np.ndarray) and value.dtype.kind in "OU" else value
    if isinstance(words, list | tuple) and words and all(isinstance(word, str) for word in words):
        return Kind("tags")
    array = as_array(key, value)
    numbers = PLACES[places] if places else 0
    if array.shape in ((), (1,)) and how is None and not numbers:
        return Kind("number" if array.dtype.kind == "f" else "class")
    if numbers and how is None and array.dtype.kind in "iu":
        array = decoding.as_numbers(key, array)
    example = decoding.label(key, array, how, numbers)
    if f"{key}_valid" not in example:
        raise UserError(f"{key!r} is no label to learn from.")
    form = example[key].shape, example[key].dtype, example[f"{key}_valid"].shape
    return Kind("array", form=form, numbers=numbers)


def is_missing(value: Any) -> bool:
    """Whether a value says that there is none: None, NaN, an empty text, pandas' NA.

    Example:
        >>> is_missing(None), is_missing(float("nan")), is_missing(" "), is_missing(0)
        (True, True, True, False)
    """
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, float) or getattr(value, "shape", None) in ((), (1,)):  # of any library
        with contextlib.suppress(TypeError, ValueError, RuntimeError):  # what makes no array is told where it is read
            array = np.asarray(value)
            return array.dtype.kind == "f" and bool(np.isnan(array).all())
    return False


def as_array(key: str, value: Any) -> np.ndarray:
    """A value, an array of any library, a picture or lists of numbers, as an array of numbers.

    Raises:
        UserError: for anything else.
    """
    if not isinstance(value, Mapping | set | bytes | str):
        try:
            array = np.asarray(value)
        except (ValueError, TypeError, RuntimeError) as error:  # lists of other lengths, tensors on a device
            raise UserError(f"{key!r} is {_shown(value)}, which makes no array: {error}.") from error
        if array.dtype.kind in "biuf" or array.dtype.name == "bfloat16":
            return array
    raise UserError(f"{key!r} is {_shown(value)}; expected a number, an array, a picture or names of classes.")


def _scalar(key: str, value: Any, what: str, how: decoding.How | None) -> Example:
    """One number of a whole example."""
    if isinstance(value, str):
        try:
            value = text.finite(value.strip())
        except ValueError as error:
            kind = "a number" if what == "number" else "a class, a whole number"
            raise UserError(f"{key!r}: {error}; expected {kind}, or nothing where there is none.") from None
    array = as_array(key, value)
    if array.shape not in ((), (1,)):
        raise UserError(f"{key!r} has shape {array.shape}; expected one number.")
    number = array.reshape(())
    if not np.isfinite(number):
        raise UserError(f"{key!r} is {number}; expected a finite number, or None where there is no label.")
    return decoding.label(key, number.astype(np.float64) if what == "number" else number, how or _HOW[what])


_HOW: Mapping[str, decoding.How | None] = {"number": None, "class": "classes"}


def _names(value: Any) -> tuple[str, ...]:
    """The names in a list of them, or in a text with `;`, `|` or `,` between them."""
    words = _BETWEEN.split(value) if isinstance(value, str) else value
    if not isinstance(words, Sequence | np.ndarray) or not all(isinstance(word, str) for word in words):
        raise UserError(f"expected names of tags, as in 'red; round' or ['red', 'round'], not {_shown(value)}.")
    return tuple(word.strip() for word in words if word.strip())


def _shown(value: Any) -> str:
    """A value for a message: its type, and itself where it is short."""
    if isinstance(value, Image.Image):
        return f"a picture of {value.size[0]} x {value.size[1]}"
    kind, whole = type(value).__name__, repr(value)
    if isinstance(value, tuple | list | Mapping | set):
        return f"a {kind} of {len(value)}"
    return f"{whole}, a {kind}" if len(whole) <= 40 else f"a {kind}"
