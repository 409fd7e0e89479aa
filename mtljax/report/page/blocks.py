"""What a page is made of: sections of tables, figures, facts and text. How they look is the templates' business."""

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

from mtljax.report.drawing.figures import Drawn
from mtljax.report.statistics.summary import Summary

BEST, SECOND, BAD, GOOD, QUIET = "best", "second", "bad", "good", "quiet"
NOTHING = "–"


@dataclasses.dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: as it is shown.
        value: what it is sorted by: the number with all its digits, or a text; None for what has no place.
        mark: best, second, bad, good or quiet; "" for none.
        title: more about it, shown at a hover; never needed to understand the page.
    """

    text: str
    value: float | str | None = None
    mark: str = ""
    title: str = ""


@dataclasses.dataclass(frozen=True)
class Heading:
    """The heading of a column.

    Attributes:
        text: of it.
        way: "up" where higher is better, "down" where lower is; "" where neither is.
        pick: the name by which the column can be picked; "" where it always stands.
        picked: whether it is shown at first.
    """

    text: str
    way: str = ""
    pick: str = ""
    picked: bool = True


@dataclasses.dataclass(frozen=True)
class Table:
    """A table; the first cell of a row is the row's heading."""

    kind: ClassVar[str] = "table"
    caption: str
    headings: Sequence[Heading]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()

    @property
    def texts(self) -> set[int]:
        """The columns of text: those in which nothing is a number."""
        columns = enumerate(zip(*self.rows, strict=True))
        return {i for i, cells in columns if not any(isinstance(cell.value, float) for cell in cells)}


@dataclasses.dataclass(frozen=True)
class Figures:
    """Figures that belong together, and what they show."""

    kind: ClassVar[str] = "figures"
    caption: str
    drawn: Sequence[Drawn]


@dataclasses.dataclass(frozen=True)
class Facts:
    """Names and what they are."""

    kind: ClassVar[str] = "facts"
    pairs: Sequence[tuple[str, str]]
    summary: str = ""  # where it is given, the facts are folded under it


@dataclasses.dataclass(frozen=True)
class Text:
    """Paragraphs."""

    kind: ClassVar[str] = "text"
    lines: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Code:
    """Text as it is typed or printed."""

    kind: ClassVar[str] = "code"
    text: str
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Picture:
    """A PNG, as base64."""

    kind: ClassVar[str] = "picture"
    png: str
    alt: str


Block = Table | Figures | Facts | Text | Code | Picture


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a page: its name in addresses, its title, what to know first, and its blocks."""

    name: str
    title: str
    intro: str
    blocks: Sequence[Block]


def number(value: float | None, digits: int = 4, mark: str = "") -> Cell:
    """A number to some significant digits; a dash where there is none.

    Example:
        >>> number(0.123456).text, number(1234567.0).text, number(float("nan")).text
        ('0.1235', '1,234,567', '–')
    """
    if value is None or not math.isfinite(value):
        return Cell(NOTHING, None, mark or QUIET)
    return Cell(_plain(value, digits), float(value), mark)


def over_seeds(summary: Summary, mark: str = "") -> Cell:
    """Mean ± standard error, to two digits of the error.

    Example:
        >>> from mtljax.report.statistics.summary import summarise
        >>> over_seeds(summarise({0: 0.5, 1: 0.51, 2: 0.52})).text
        '0.5100 ± 0.0058'
    """
    mean, error = summary.mean, summary.standard_error
    if not error or not math.isfinite(mean):
        return number(mean, mark=mark)
    places = _places(error)
    text = f"{mean:,.{places}f} ± {error:,.{places}f}".replace("-", "−")
    title = "" if summary.interval is None else "95 % interval {:.5g} to {:.5g}".format(*summary.interval)
    return Cell(text, mean, mark, title)


def ends(interval: tuple[float, float] | None) -> Cell:
    """An interval, or a dash."""
    if interval is None:
        return Cell(NOTHING, None, QUIET)
    if interval[0] == interval[1]:
        return number(interval[0])
    places = _places((interval[1] - interval[0]) / 4)
    return Cell(f"{interval[0]:,.{places}f} to {interval[1]:,.{places}f}".replace("-", "−"), interval[0])


def size(value: float | None, unit: str) -> Cell:
    """A large number with a prefix of its unit.

    Example:
        >>> size(2.5e9, "FLOP").text
        '2.5 GFLOP'
    """
    if value is None or not math.isfinite(value):
        return Cell(NOTHING, None, QUIET)
    for power, prefix in ((12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if abs(value) >= 10**power:
            return Cell(f"{value / 10**power:.3g} {prefix}{unit}", float(value))
    return Cell(f"{value:.3g} {unit}", float(value))


def duration(seconds: float | None) -> Cell:
    """Seconds as people read them.

    Example:
        >>> duration(75.0).text, duration(0.25).text, duration(7300.0).text
        ('1 min 15 s', '0.25 s', '2 h 1 min')
    """
    if seconds is None or not math.isfinite(seconds):
        return Cell(NOTHING, None, QUIET)
    if seconds < 60:
        return Cell(f"{seconds:.3g} s", float(seconds))
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return Cell(f"{minutes} min {rest} s", float(seconds))
    return Cell(f"{minutes // 60} h {minutes % 60} min", float(seconds))


def _places(error: float) -> int:
    return min(8, max(0, 1 - math.floor(math.log10(abs(error)))))


def _plain(value: float, digits: int) -> str:
    if value == 0 or 1e-4 <= abs(value) < 10 ** (digits + 3):
        places = 0 if value == 0 else max(0, digits - 1 - math.floor(math.log10(abs(value))))
        text = f"{value:,.{places}f}"
        return text.replace("-", "−")
    return f"{value:.{digits - 1}e}".replace("-", "−")
