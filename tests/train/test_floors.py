"""The floors of `mtljax.train`: each imports what is on it or below."""

import pathlib
import re

import mtljax.train

ROOM = pathlib.Path(mtljax.train.__file__).parent
FLOORS = ["step", "spread", "config", "run"]


def modules():
    """Module -> what it imports, by their paths without the package: `config.checks`."""
    names = {".".join(file.relative_to(ROOM).with_suffix("").parts): file for file in ROOM.glob("*/*.py")}
    found = {}
    for name, file in names.items():
        lines = re.findall(
            r"^\s*from mtljax\.train\.(\S+) import ([\w, ]+)|^\s*import mtljax\.train\.(\S+)", file.read_text(), re.M
        )
        inside = [f"{path}.{word}" for path, words, _ in lines for word in re.findall(r"\w+", words)]
        found[name] = {other for other in [*inside, *(a or b for a, _, b in lines)] if other in names}
    return found


def test_floors_import_downwards():
    found = modules()
    assert {name.split(".")[0] for name in found} == set(FLOORS)
    assert sum(map(len, found.values())) > 60
    for name, others in found.items():
        for other in others:
            assert FLOORS.index(other.split(".")[0]) <= FLOORS.index(name.split(".")[0]), f"{name} imports {other}"
