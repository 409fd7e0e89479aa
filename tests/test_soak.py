"""The short version of tests/soak.py. What tests/test_launch.py and tests/test_hosts.py inject is not repeated here."""

import pytest

from tests import soak


@pytest.fixture(scope="module")
def short(tmp_path_factory, compiled):
    return soak.Soak(tmp_path_factory.mktemp("soak"), steps=16, compiled=compiled)


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_as_one_left_alone(short):
    assert soak.killed(short, kills=1).survived == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "inject",
    [soak.corrupt_record, soak.two_in_one_workdir],
    ids=lambda f: f.__name__,
)
def test_a_fault_is_survived(short, inject):
    row = inject(short)
    assert row.survived == row.injected > 0
