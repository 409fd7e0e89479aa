"""Messages for names that do not exist."""

import json
import re

import numpy as np
import pytest

from mtljax import errors
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


def test_the_place_of_an_error_is_the_users_line_nearest_to_it():
    def wrong():
        return np.zeros(2) + np.zeros(3)

    with pytest.raises(ValueError, match="broadcast") as told_by_numpy:
        wrong()
    assert re.fullmatch(rf"{re.escape(__file__)}, line \d+, in wrong", errors.place_of(told_by_numpy.value))
    assert errors.told(told_by_numpy.value).endswith("in wrong)")
    with pytest.raises(errors.UserError) as ours:
        raise errors.UserError("mine.") from told_by_numpy.value
    assert errors.causes(ours.value) == [told_by_numpy.value, ours.value]
    assert errors.told(ours.value) == "mine."


def test_what_only_others_did_has_no_place():
    error = None
    try:
        json.loads("{")
    except ValueError as caught:
        error = caught.with_traceback(caught.__traceback__.tb_next)
    assert errors.place_of(error) is None
    assert errors.told(KeyError("a")) == "KeyError: 'a'"
