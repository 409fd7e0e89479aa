"""The views of a folder in Taskonomy's layout, and which of them are in a split."""

import csv
import os
import pathlib
import re
from collections.abc import Iterator, Sequence

from mtljax.data.reading.files import SHORT, half_copied
from mtljax.errors import UserError

_VIEW = re.compile(r"point_(\d+)_view_(\d+)_domain_rgb\.png")

Building = tuple[str, ...]


def found_views(root: pathlib.Path) -> dict[tuple[Building, int], list[str]]:
    """(building, point) -> its images, relative to `rgb`, all in order; the building is the folders within `rgb`.

    Raises:
        UserError: where there are none.
    """
    groups: dict[tuple[Building, int], list[tuple[int, str]]] = {}
    for folder, name in _files(root / "rgb"):
        if match := _VIEW.fullmatch(name):
            key = tuple(folder.split(os.sep)) if folder else (), int(match[1])
            groups.setdefault(key, []).append((int(match[2]), os.path.join(folder, name)))
    if not groups:
        raise UserError(
            f"Taskonomy folder {str(root)!r} has no images; expected files such as rgb/point_0_view_0_domain_rgb.png."
        )
    return {key: [file for _, file in sorted(views)] for key, views in sorted(groups.items())}


def must_have(root: pathlib.Path, domains: dict[str, str], views: Sequence[str]) -> None:
    """Checks that each folder has a file beside each view.

    Args:
        root: of the data set.
        domains: a folder -> the word for it in the names of its files.
        views: images, relative to `rgb`.

    Raises:
        UserError: where some are not there.
    """
    lacking = []
    for part, domain in domains.items():
        there = {os.path.join(folder, name) for folder, name in _files(root / part)}
        wanted = (view.replace("_domain_rgb.", f"_domain_{domain}.") for view in views)
        lacking += [f"{part}/{file}" for file in wanted if file not in there]
    if lacking:
        raise half_copied("Taskonomy", root, lacking)


def _files(root: pathlib.Path) -> Iterator[tuple[str, str]]:
    """The folder of each file, relative to `root`, and its name."""
    for folder, _, names in os.walk(root):
        inner = os.path.relpath(folder, root)
        yield from (("" if inner == "." else inner, name) for name in names)


def last_held_out(root: pathlib.Path, keys: Sequence[tuple[Building, int]], share: float, split: str) -> list[bool]:
    """Which (building, point) are in a split: the last buildings are for validation; of one building, the last points.

    Raises:
        UserError: where there is one point alone.
    """
    several = len({building for building, _ in keys}) > 1
    apart = [key[0] if several else key[1] for key in keys]
    units = sorted(set(apart))
    if len(units) < 2:
        raise UserError(f"Taskonomy folder {str(root)!r} has the views of one point alone: too few to hold some out.")
    last = set(units[-min(len(units) - 1, max(1, round(share * len(units)))) :])
    return [(unit in last) == (split == "validation") for unit in apart]


def officially(file: pathlib.Path, keys: Sequence[tuple[Building, int]], split: str) -> list[bool]:
    """Which (building, point) are in a split of Taskonomy's own, such as `train_val_test_tiny.csv`.

    Args:
        file: of rows `id,train,val,test`, a building's name and 1 where it is in a split.
        keys: those of the folder.
        split: `train`, or `validation`, the column `val`.

    Raises:
        UserError: where the file cannot be read, does not name a building of the folder, or leaves the split empty.
    """
    column = SHORT[split]
    try:
        with file.open(newline="") as lines:
            rows = {row["id"].strip(): row[column].strip() for row in csv.DictReader(lines)}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, AttributeError) as error:
        raise UserError(
            f"splits {str(file)!r} cannot be read ({error!r}); expected rows of id,train,val,test."
        ) from error
    named = [building[-1] if building else "" for building, _ in keys]
    if strangers := sorted({name for name in named if name not in rows}):
        raise UserError(f"splits {str(file)!r} lack {', '.join(strangers)}; expected all buildings of the folder.")
    chosen = [rows[name] == "1" for name in named]
    if not any(chosen):
        raise UserError(
            f"splits {str(file)!r} have no building of the folder in {column}; there: {sorted(set(named))}."
        )
    return chosen
