"""Pages as a browser sees them: tables, texts, addresses, all by `html.parser`."""

import dataclasses
import html.parser

from mtljax.report.page import comparison_page
from mtljax.report.page.context import Context, metrics_of
from mtljax.report.reading.comparisons import read
from mtljax.report.reading.curves import read_curves

VOID = {"meta", "link", "img", "br", "use", "path", "rect", "image"}


@dataclasses.dataclass
class Table:
    """A table: its caption, its headings, and rows of (text, attributes)."""

    section: str
    caption: str = ""
    headings: list = dataclasses.field(default_factory=list)
    rows: list = dataclasses.field(default_factory=list)

    def column(self, heading):
        """Head of the row -> value of the cell; None where it is no number."""
        [place] = [i for i, text in enumerate(self.headings) if text.startswith(heading)]
        return {row[0][0]: number(row[place]) for row in self.rows}


def number(cell):
    """The number of a cell with all its digits."""
    value = cell[1].get("data-value")
    return None if value is None else float(value)


class Page(html.parser.HTMLParser):
    """Everything of a page that tests ask for."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tables, self.ids, self.addresses, self.sections = [], [], [], {}
        self.text, self._open, self._section = "", [], ""
        self.feed(text)
        self.close()
        assert self._open == [], self._open

    def handle_starttag(self, tag, attributes, closed=False):
        given = dict(attributes)
        if "id" in given:
            self.ids.append(given["id"])
        self.addresses += [value for key, value in attributes if key in ("src", "href", "xlink:href", "action", "data")]
        if tag == "section":
            self._section = given["id"]
            self.sections[self._section] = ""
        if tag == "table":
            self.tables.append(Table(self._section))
        elif tag == "tr" and self._in("tbody"):
            self.tables[-1].rows.append([])
        elif tag in ("th", "td") and self._in("tbody"):
            self.tables[-1].rows[-1].append(["", given])
            assert tag == "td" or given["scope"] == "row"
        elif tag == "th":
            assert given["scope"] == "col"
            self.tables[-1].headings.append("")
        if tag not in VOID and not closed:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes, closed=True)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop() == tag
        if tag == "section":
            self._section = ""

    def handle_data(self, data):
        if self._in("style") or self._in("script"):
            return
        if self._section:
            self.sections[self._section] += data
        self.text += data
        if self._in("caption"):
            self.tables[-1].caption += data
        elif self._in("tbody") and (self._in("td") or self._in("th")):
            self.tables[-1].rows[-1][-1][0] += data
        elif self._in("thead") and self._in("th"):
            self.tables[-1].headings[-1] += data

    def table(self, caption):
        """The table whose caption begins so."""
        [found] = [table for table in self.tables if table.caption.startswith(caption)]
        return found

    def _in(self, tag):
        return tag in self._open


def part_of(workdir, make):
    """A section alone of a comparison's page, and its page: to draw all of them takes seconds."""
    comparison = read([workdir])
    curves = [read_curves(run.folder) for run in comparison.runs]
    section = make(Context(comparison, *metrics_of(comparison, None), curves, [workdir]))
    return section, Page(comparison_page.rendered("", [section]))
