"""What a comparison of an earlier version left: figures in one file, and directions of metrics in its table alone."""

import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mtljax.errors import UserError
from mtljax.report.files import load, write_json
from mtljax.report.reading.folders import numbers
from mtljax.report.runs import SINGLE, Metric, Run

RESULTS, TABLE, VERSION = "compare.json", "compare.md", 2
KEPT = "earlier.json"  # both of them, from when files of this version took their place
_HEADING = re.compile(r"(?P<task>\S+) (?P<metric>\S+) \((?P<way>up|down)\)")


def earlier_figures(workdir: pathlib.Path) -> dict[str, dict[str, dict[str, float]]]:
    """Method -> seed -> figure -> value, of an earlier version; nothing where it left none.

    Raises:
        UserError: where the file cannot be read.
    """
    return _left(workdir)["figures"]


def earlier_runs(workdir: pathlib.Path) -> list[Run]:
    """The runs of a `compare.json` without a version, {method: {seed: {figure: value}}}; none of a later one's.

    Raises:
        UserError: where the file cannot be read, or holds something else.
    """
    found = earlier_figures(workdir)
    try:
        return list(_runs(workdir, found))
    except (AttributeError, TypeError, ValueError) as error:
        file = str(workdir / RESULTS)
        raise UserError(f"cannot read {file!r}: expected {{method: {{seed: {{figure: value}}}}}}; {error}.") from error


def earlier_metrics(workdir: pathlib.Path) -> list[Metric]:
    """Each task's primary metric and its direction, from the headings of the table beside an earlier `compare.json`."""
    return [Metric(name, up, primary=True) for name, up in _left(workdir)["primary"].items()]


def keep_earlier(workdir: pathlib.Path) -> None:
    """Puts what an earlier version left into a file of its own, before files of this version take its place."""
    left = _left(workdir)
    if left["figures"] and not (workdir / KEPT).exists():
        write_json(workdir / KEPT, left)


def folder_of(method: str) -> str:
    """The name of a method's folder in a comparison's workdir.

    Example:
        >>> folder_of("cagrad(c=0.4)")
        'cagrad-c=0.4'
    """
    return re.sub(r"[^\w.=]+", "-", method).strip("-")


def _left(workdir: pathlib.Path) -> dict[str, Any]:
    kept = load(workdir / KEPT)
    if kept:
        return kept
    found = load(workdir / RESULTS)
    if "version" in found or not found:
        return {"figures": {}, "primary": {}}
    return {"figures": found, "primary": dict(_primary(workdir / TABLE))}


def _primary(file: pathlib.Path) -> Iterator[tuple[str, bool]]:
    headings = file.read_text(errors="replace").partition("\n")[0] if file.is_file() else ""
    for heading in headings.split("|"):
        match = _HEADING.fullmatch(heading.strip())
        if match:
            yield f"{match['task']}/{match['metric']}", match["way"] == "up"


def _runs(workdir: pathlib.Path, found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Iterator[Run]:
    for method, seeds in found.items():
        for seed, figures in seeds.items():
            tasks = {name.partition("/")[0]: None for name in figures} if method == SINGLE else [None]
            for task in tasks:
                own = {name: value for name, value in figures.items() if task in (None, name.partition("/")[0])}
                folder = workdir / folder_of(method) / (task or "") / f"seed-{seed}"
                there = folder if folder.is_dir() else None
                yield Run(method, int(seed), task, figures=numbers(own), folder=there)
