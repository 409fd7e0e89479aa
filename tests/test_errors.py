"""Messages for names that do not exist."""

import pytest

from mtljax.errors import unknown


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("PCGrad", "pcgrad"),
        ("PCGard", "pcgrad"),
        ("Nash-MTL", "nash_mtl"),
        ("NASHMTL", "nash_mtl"),
        ("ResNett", "ResNet"),
        ("resnet", "ResNet"),
        ("Aadam", "Adam"),
        ("aadam", "adam"),
    ],
)
def test_the_nearest_name_is_found_whatever_its_capitals_and_dashes(name, nearest):
    known = ["upgrad", "pcgrad", "nash_mtl", "mtl", "ResNet", "adam", "Adam"]
    assert f"unknown thing {name!r}; did you mean {nearest!r}? Known: Adam, ResNet, " in str(
        unknown("thing", name, known)
    )


def test_of_many_names_only_those_that_are_near_are_told():
    known = [f"name_{i:03d}" for i in range(100)] + ["other"]
    told = str(unknown("thing", "Othr", known))
    assert told == "unknown thing 'Othr'; did you mean 'other'? Near it: other. (101 names are known.)"
    assert str(unknown("thing", "xyz", known)) == "unknown thing 'xyz'. (101 names are known.)"


@pytest.mark.parametrize("name", [(1, 2), 5, None])
def test_what_is_no_name_is_unknown_too(name):
    assert f"unknown thing {name!r}. Known: a, b." in str(unknown("thing", name, ["b", "a"]))
