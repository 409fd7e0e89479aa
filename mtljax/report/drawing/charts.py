"""The kinds of figures of a report: dots with bars, lines with ranges, maps of cosines."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mtljax.report.drawing.figures import (
    INK,
    Drawn,
    Style,
    finished,
    legend,
    legend_height,
    panel,
    short,
    style,
    titled,
)
from mtljax.report.drawing.kept import kept
from mtljax.report.reading.curves import Band

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW = 0.2  # inches of a row of dots and bars, or of a map
_MANY_BANDS = 6  # lines with which their ranges are drawn: more would hide each other
_MOST_CELLS = 60  # of a map, along time
_CROSSES = 40  # rows of a map that have a name each


@dataclasses.dataclass(frozen=True)
class Dot:
    """A figure with its interval; none where `low` and `high` are None."""

    name: str
    value: float
    low: float | None
    high: float | None
    style: Style


@dataclasses.dataclass(frozen=True)
class Line:
    """A curve.

    Attributes:
        name: in the legend.
        style: of it.
        band: mean and range over seeds; None where only `ended` is drawn.
        ended: curves (x, y) of runs that failed: thin, with a cross where they end.
    """

    name: str
    style: Style
    band: Band | None
    ended: Sequence[tuple[np.ndarray, np.ndarray]] = ()


@dataclasses.dataclass(frozen=True)
class Place:
    """A method's place in a plane of two figures; filled where `best`."""

    name: str
    x: float
    y: float
    best: bool
    style: Style


@kept
def plane(name: str, title: str, labels: tuple[str, str], places: Sequence[Place], *, joined: bool, alt: str) -> Drawn:
    """A mark for each method, filled for the best, which may be joined; and a legend below.

    Args:
        name: of its files.
        title: above it.
        labels: of both axes.
        places: of the methods.
        joined: whether a line goes through the best.
        alt: what it shows, in words.
    """
    names = [place.name for place in places]
    with panel(2.6, below=0.5 + legend_height(names)) as (figure, axis):
        if joined:
            best = sorted((place.x, place.y) for place in places if place.best)
            axis.plot(*zip(*best, strict=True), color=INK, linewidth=0.8, zorder=1)
        handles = [
            axis.plot(
                [place.x],
                [place.y],
                place.style.marker,
                color=place.style.colour,
                markerfacecolor=place.style.colour if place.best else "none",
                markersize=6,
            )[0]
            for place in places
        ]
        axis.set_xlabel(labels[0])
        axis.set_ylabel(labels[1])
        titled(figure, title)
        for which in ("x", "y"):
            _few_ticks(axis, which)
        legend(figure, handles, names)
        return finished(figure, name, alt)


@kept
def dots(name: str, title: str, label: str, rows: Sequence[Dot], *, neutral: float, alt: str) -> Drawn:
    """A row each: a dot at the figure, a bar along its interval, and a line where there is no difference.

    Args:
        name: of its files.
        title: above it.
        label: of the axis.
        rows: from top to bottom.
        neutral: where the line is.
        alt: what it shows, in words.
    """
    names = [short(row.name, 36) for row in rows]
    with panel(_ROW * len(rows) + 0.45, names, below=0.5) as (figure, axis):
        axis.axvline(neutral, color=INK, linewidth=0.8)
        for place, row in enumerate(rows):
            if row.low is not None and row.high is not None:
                axis.plot([row.low, row.high], [place, place], color=row.style.colour, linewidth=2.2, alpha=0.75)
            if math.isfinite(row.value):
                axis.plot([row.value], [place], row.style.marker, color=row.style.colour, markersize=5.5)
        axis.set(ylim=(len(rows) - 0.5, -0.5), yticks=range(len(rows)), yticklabels=names, xlabel=label)
        titled(figure, title)
        axis.tick_params(axis="y", length=0)
        axis.grid(False, axis="y")
        _few_ticks(axis, "x")
        return finished(figure, name, alt)


@kept
def lines(name: str, title: str, labels: tuple[str, str], drawn: Sequence[Line], *, alt: str) -> Drawn:
    """Curves with their range over seeds, and a legend below. Values above 0 that span a factor of 30 are logarithmic.

    Args:
        name: of its files.
        title: above it.
        labels: of both axes.
        drawn: the curves.
        alt: what it shows, in words.
    """
    names = [line.name for line in drawn]
    with panel(2.2, below=0.5 + legend_height(names)) as (figure, axis):
        handles = [_line(axis, line, ranges=len(drawn) <= _MANY_BANDS) for line in drawn]
        axis.set_xlabel(labels[0])
        axis.set_ylabel(labels[1])
        titled(figure, title)
        axis.margins(x=0.02)
        spread = [y for line in drawn if line.band is not None for y in (line.band.low.min(), line.band.high.max())]
        if spread and min(spread) > 0 and max(spread) > 30 * min(spread):
            _log(axis)
        else:
            _few_ticks(axis, "y")
        _few_ticks(axis, "x")
        legend(figure, handles, names)
        return finished(figure, name, alt)


def _line(axis: "Axes", line: Line, *, ranges: bool) -> Any:
    look = line.style
    band = line.band or Band(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0), 0)
    few = {"marker": look.marker, "markersize": 4} if len(band.x) <= 25 else {}
    if band.seeds > 1 and ranges:
        axis.fill_between(band.x, band.low, band.high, color=look.colour, alpha=0.16, linewidth=0)
    (handle,) = axis.plot(band.x, band.mean, color=look.colour, linestyle=look.dashes, **few)
    for x, y in line.ended:
        axis.plot(x, y, color=look.colour, linestyle=look.dashes, linewidth=0.7)
        axis.plot(x[-1:], y[-1:], "x", color=look.colour, markersize=6, markeredgewidth=1.6)
    return handle


@kept
def cosines(name: str, title: str, steps: np.ndarray, rows: Mapping[str, np.ndarray], *, alt: str) -> Drawn:
    """A map: a row a pair of tasks, along the steps; blue where gradients agree, red where they conflict.

    Args:
        name: of its files.
        title: above it.
        steps: (points,).
        rows: pair -> cosines (points,).
        alt: what it shows, in words.
    """
    pairs = [short(pair.replace("/", " · "), 34) for pair in rows]
    thin = len(pairs) > _CROSSES
    values = _cells(np.stack(list(rows.values())))
    with panel((0.06 if thin else 0.17) * len(pairs) + 0.45, pairs, below=0.5) as (figure, axis):
        extent = (float(steps[0]), float(max(steps[-1], steps[0] + 1)), len(pairs) - 0.5, -0.5)
        axis.imshow(values, cmap="RdBu", vmin=-1, vmax=1, aspect="auto", interpolation="none", extent=extent)
        titled(figure, title)
        axis.set_xlabel("step (blue +1: agreed, white 0, red −1: opposed)")
        every = -(-len(pairs) // _CROSSES) if thin else 1
        axis.set_yticks(range(0, len(pairs), every), pairs[::every])
        axis.tick_params(axis="y", length=0)
        axis.grid(False)
        _few_ticks(axis, "x")
        return finished(figure, name, alt)


def _cells(values: np.ndarray) -> np.ndarray:
    """Means over equal parts of the time, where there are more points than cells."""
    number = values.shape[1]
    if number <= _MOST_CELLS:
        return values
    edges = np.linspace(0, number, _MOST_CELLS + 1).astype(int)
    there = np.isfinite(values)
    sums = np.add.reduceat(np.where(there, values, 0), edges[:-1], axis=1)
    counts = np.add.reduceat(there, edges[:-1], axis=1, dtype=int)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _few_ticks(axis: "Axes", which: str) -> None:
    from matplotlib.ticker import MaxNLocator

    one = axis.xaxis if which == "x" else axis.yaxis
    one.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    one.set_major_formatter(_written)


def _log(axis: "Axes") -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(numticks=6))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(_written)


def _written(value: float, _: Any = None) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):g}{letter}".replace("-", "−")
    return f"{value:g}".replace("-", "−")


def styles(names: Sequence[str]) -> dict[str, Style]:
    """The look of each name, the same in all figures of a page."""
    return {name: style(index) for index, name in enumerate(names)}
