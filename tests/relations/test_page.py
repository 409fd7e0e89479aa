"""The code of docs/relations.md, run from top to bottom."""

import pathlib
import re

import numpy as np

PAGE = pathlib.Path(__file__).parent.parent.parent / "docs" / "relations.md"


def test_the_page_works_and_says_what_comes_out(capsys):
    names = {}
    for code in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE):
        exec(compile(code, PAGE.name, "exec"), names)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "('depth',) {'depth': ('self',), 'normals': ('depth',)}"
    assert said[0] in PAGE.read_text()
    assert [line.rpartition(" ")[2] for line in said[1:4]] == sorted(line.rpartition(" ")[2] for line in said[1:4])[
        ::-1
    ]
    assert names["groups"].groups == (("depth", "normals"), ("normals", "edges"))
    np.testing.assert_allclose(names["gains"][1, 0], (0.30 - 0.26) / 0.30)
    assert names["relation"].least_p == 1 / 6


def test_the_page_names_every_function():
    from mtljax import relations

    functions = [name for name in relations.__all__ if name[0].islower() and name != "distance_shown"]
    assert [name for name in functions if f"`{name}`" not in PAGE.read_text()] == []
