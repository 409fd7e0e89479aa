"""One guess: what a user names is in the file of that name, and what it is made of is in rooms of its own."""

import pathlib

import pytest

from mtljax import models
from mtljax.models import encoders, heads, sharing

ROOMS = {
    sharing: models.SHARING,
    encoders: {name: getattr(encoders, name) for name in encoders.__all__},
    heads: {name: getattr(heads, name) for name in heads.__all__},
}


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.__name__)
def test_a_file_is_named_as_what_is_in_it(room):
    """In snake case: `PADNet` in `pad_net`, `MMoE` in `mmoe`, `DSelectK` in `dselect_k`."""
    files = {file.stem for file in pathlib.Path(room.__file__).parent.glob("*.py")} - {"__init__"}
    assert {name: thing.__module__ for name, thing in ROOMS[room].items()} == {
        name: f"{room.__name__}.{file}"
        for name in ROOMS[room]
        for file in files
        if file.replace("_", "") == name_of(name)
    }
    assert {file.replace("_", "") for file in files} == {name_of(name) for name in ROOMS[room]}


def name_of(name):
    return name.replace("_", "").lower()
