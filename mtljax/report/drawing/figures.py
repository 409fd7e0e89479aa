"""How figures look: sizes, colours, the SVG and PNG that become of them. matplotlib is imported when one is drawn."""

import contextlib
import dataclasses
import io
import re
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that the colour-blind tell apart (Okabe and Ito), but for yellow, which is lost on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a7a7a")
INK, GRID, PAPER = "#222222", "#d8d8d8", "#ffffff"
_DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
_MARKERS = "os^DvPX*"
_WIDTH, _DPI = 4.4, 150  # inches; 72 units of an SVG to the inch
_LONGEST = 120  # letters of a file's name
_LETTER = 0.068  # inches that a letter of a label takes
_LINE = 60  # letters of a legend's only column
_RC: Mapping[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mtljax",
    "text.parse_math": False,  # a name may hold a dollar
    "axes.unicode_minus": True,
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 8,
}


@dataclasses.dataclass(frozen=True)
class Style:
    """How one method or task is drawn everywhere.

    Attributes:
        colour: of its line and marks.
        dashes: of its line, as matplotlib takes them.
        marker: of its marks.
    """

    colour: str
    dashes: Any
    marker: str


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A figure.

    Attributes:
        name: of its files, without their ending.
        alt: what it shows, in words.
        svg: a whole file, with text as text.
        png: likewise.
    """

    name: str
    alt: str
    svg: str
    png: bytes

    @property
    def inline(self) -> str:
        """The SVG as part of a page: its colours are the page's, its identifiers its own."""
        return _inline(self.svg, self.name)


def style(index: int) -> Style:
    """The look of the method or task with a place in the order of all; 56 of them differ."""
    number = len(COLOURS)
    return Style(COLOURS[index % number], _DASHES[index // number % len(_DASHES)], _MARKERS[index % len(_MARKERS)])


def short(name: str, most: int = 30) -> str:
    """A name that is too long for a figure, shortened in its middle.

    Example:
        >>> short("pcgrad(order='random', seed=0)", 20)
        'pcgrad(ord… seed=0)'
    """
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-(most - most // 2 - 2) :]}"


@contextlib.contextmanager
def panel(height: float = 2.6, labels: Sequence[str] = (), below: float = 0.5) -> "Iterator[tuple[Figure, Axes]]":
    """A figure of one plot in the style of all, 4.4 inches wide.

    Args:
        height: of the plot without what is below it, in inches.
        labels: that stand left of it, for which there is to be room; none for numbers.
        below: inches for the labels of the axis, and for a legend.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(cast(Any, dict(_RC))), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # in the PNG: the SVG's text is text
        figure = Figure(figsize=(_WIDTH, height + below))
        left = min(0.55 * _WIDTH, 0.15 + _LETTER * max(map(len, labels))) if labels else 0.58
        box = (left / _WIDTH, below / (height + below), 1 - (left + 0.12) / _WIDTH, (height - 0.3) / (height + below))
        yield figure, figure.add_axes(box)


def titled(figure: "Figure", title: str) -> None:
    """A title along the upper edge."""
    height = figure.get_figheight()
    figure.text(0.1 / _WIDTH, 1 - 0.08 / height, short(title, 54), weight="bold", size=9, va="top")


def legend(figure: "Figure", handles: Sequence[Any], names: Sequence[str]) -> None:
    """A legend along the lower edge, in as many columns as fit; `legend_height` is the room it takes."""
    columns = _legend_columns(names)
    shown = [short(name, _LINE) if not name.startswith("_") else " " + short(name, _LINE) for name in names]
    figure.legend(handles, shown, loc="lower left", bbox_to_anchor=(0.01, 0.0), ncols=columns, borderaxespad=0.2)


def legend_height(names: Sequence[str]) -> float:
    """Inches that a legend of some names takes."""
    return 0.1 + 0.165 * -(-len(names) // _legend_columns(names)) if names else 0.0


def _legend_columns(names: Sequence[str]) -> int:
    widest = 0.62 + _LETTER * max((len(short(name, _LINE)) for name in names), default=1)
    return max(1, min(len(names), int(_WIDTH / widest)))


def finished(figure: "Figure", name: str, alt: str) -> Drawn:
    """Both files of a figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    svg, png = io.StringIO(), io.BytesIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    FigureCanvasSVG(figure).print_svg(svg, metadata=nothing)
    figure.dpi = _DPI
    FigureCanvasAgg(figure).print_png(png, metadata={"Software": None}, pil_kwargs={"compress_level": 4})
    return Drawn(name, alt, _slim(svg.getvalue()), png.getvalue())


def file_name(*parts: str) -> str:
    """A file's name, without its ending, that names of tasks and methods go into.

    Example:
        >>> file_name("curves", "depth/AbsRel", "seconds")
        'curves-depth-AbsRel-seconds'
    """
    name = "-".join(re.sub(r"[^\w.=]+", "-", part).strip("-") for part in parts)
    plain = all(re.fullmatch(r"[\w.=()\[\]/,'\" +-]*", part) for part in parts)
    return name if plain and len(name) <= _LONGEST else f"{name[:_LONGEST]}-{zlib.crc32('/'.join(parts).encode()):08x}"


def _slim(svg: str) -> str:
    """Without the metadata, and with paths to a hundredth of a unit."""
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return re.sub(r'(?<= d=")[^"]*', lambda match: re.sub(r"(\.\d\d)\d+", r"\1", " ".join(match[0].split())), svg)


def _inline(svg: str, name: str) -> str:
    svg = svg[svg.index("<svg") : svg.rindex("</svg>") + 6]
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(
        r"font: (?:(\w+) )?([\d.]+px) [^;\"]*", lambda m: f"font-weight: {m[1] or 400}; font-size: {m[2]}", svg
    )
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    for colour, own in {**{c: f"var(--c{i})" for i, c in enumerate(COLOURS)}, INK: "currentColor"}.items():
        svg = svg.replace(f": {colour}", f": {own}")
    svg = svg.replace(f": {GRID}", ": var(--grid)").replace(f"fill: {PAPER}", "fill: none")
    head, _, rest = svg.partition(">")
    box = re.search(r'viewBox="[^"]*"', head)
    return f'<svg {box[0] if box else ""} aria-hidden="true" focusable="false">{rest}'
