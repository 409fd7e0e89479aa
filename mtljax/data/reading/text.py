"""Numbers read from text: what Python's `float` takes for one and a file cannot mean is refused."""

import pathlib

import numpy as np

from mtljax.errors import UserError

_LARGEST = float(np.finfo(np.float32).max)


def lines(file: pathlib.Path) -> list[str]:
    """The lines of a text file.

    Raises:
        UserError: where it cannot be read.
    """
    try:
        return file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{str(file)!r} cannot be read: {error}.") from error


def number(word: str) -> float:
    """The number that a word spells in plain digits; `nan` and `inf` too.

    Raises:
        ValueError: where it spells none, or spells it as programs do: `1_000`, other alphabets' digits.

    Example:
        >>> number("-2.5e-1"), number("nan")
        (-0.25, nan)
        >>> number("1_000")
        Traceback (most recent call last):
        ValueError: '1_000' is no number
    """
    try:
        if "_" in word or not word.isascii():
            raise ValueError
        return float(word)
    except ValueError:
        raise ValueError(f"{word!r} is no number") from None


def is_finite(value: float) -> bool:
    """Whether a number is one that float32 can hold.

    Example:
        >>> is_finite(2.5), is_finite(1e39), is_finite(float("nan"))
        (True, False, False)
    """
    return abs(value) <= _LARGEST


def finite(word: str) -> float:
    """The finite number that a word spells.

    Raises:
        ValueError: where it spells none, such as `nan`, `inf` and what overflows to it.

    Example:
        >>> finite("12.5")
        12.5
        >>> finite("-inf")
        Traceback (most recent call last):
        ValueError: '-inf' is no finite number
    """
    value = number(word)
    if not is_finite(value):
        raise ValueError(f"{word!r} is no finite number")
    return value
