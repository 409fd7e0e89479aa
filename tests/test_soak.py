"""The short version of tests/soak.py. What tests/test_launch*.py and tests/test_hosts.py inject is not repeated here."""

import pytest

from tests import soak


@pytest.fixture(scope="module")
def short(tmp_path_factory, compiled):
    return soak.Soak(tmp_path_factory.mktemp("soak"), steps=16, compiled=compiled)


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_as_one_left_alone(short):
    assert soak.killed(short, kills=1).survived == 1


@pytest.mark.slow
def test_a_record_that_does_not_decode_is_survived(short):
    row = soak.corrupt_record(short)
    assert row.survived == row.injected > 0
