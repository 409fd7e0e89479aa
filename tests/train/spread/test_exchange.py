"""What several hosts tell each other: arrays, sums, errors, and who holds a folder."""

import contextlib
import functools
import pathlib

import numpy as np
import pytest

from mtljax.errors import UserError
from mtljax.studies.comparison import training
from mtljax.studies.comparison.plan import Job
from mtljax.train.run import checkpoint, workdir
from mtljax.train.run.workdir import LOCK_FILE, sole_use, sole_use_by_all
from mtljax.train.spread import hosts
from tests.several import together


def joined(*arrays):
    """What hosts make of an array each, which is the same on all of them."""
    first, *others = together(*(functools.partial(hosts.joined, {"a": array}) for array in arrays))
    for other in others:
        np.testing.assert_array_equal(other["a"], first["a"])
    return first["a"]


@pytest.mark.parametrize("piece", [1 << 28, 24, 5], ids=["whole", "in pieces", "in pieces of no number"])
def test_arrays_of_any_length_are_joined_bit_by_bit(piece, monkeypatch):
    """In pieces: so many bytes are exchanged at once, whatever there is in all."""
    gathered, sizes = hosts._gathered, []
    monkeypatch.setattr(hosts, "_PIECE", piece)
    monkeypatch.setattr(hosts, "_gathered", lambda x: sizes.append(x.nbytes) or gathered(x))
    arrays = [np.array([[1.0, np.pi], [2.0, np.e]]), np.zeros((0, 2)), np.array([[3.0, 1 / 3]])]
    found = joined(*arrays)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, np.concatenate(arrays))
    assert max(sizes) <= max(piece, 16)  # bytes of a type's name


def test_a_host_that_has_found_nothing_may_have_arrays_of_another_type():
    """NumPy makes floats of no numbers: bytes of one type were read as those of another."""
    found = joined(np.zeros(0), np.array([True, False, True]), np.array([7], np.int32))
    np.testing.assert_array_equal(found, np.array([1.0, 0.0, 1.0, 7.0]))
    assert joined(np.zeros((0, 3), np.int32), np.zeros((0, 3), np.int32)).shape == (0, 3)


def test_sums_over_hosts_are_exact_and_infinity_is_no_nan():
    each = [{"n": 2.0**53 - 1, "x": np.array([np.inf, 0.1, 1e300])}, {"n": 1, "x": np.array([1.0, 0.2, 1e300])}]
    each = [one | {"none": np.zeros((0, 3))} for one in each]
    for found in together(*(functools.partial(hosts.total, one) for one in each)):
        assert found["n"] == 2.0**53
        np.testing.assert_array_equal(found["x"], [np.inf, 0.1 + 0.2, 2e300])
        assert found["none"].shape == (0, 3)


def fails(text):
    raise UserError(text)


def test_an_error_on_one_host_ends_all():
    """Else the others would wait for it at the next exchange."""
    first, second, third = together(
        lambda: hosts.agreed(lambda: 1), lambda: hosts.agreed(lambda: fails("no é here")), lambda: hosts.agreed(dict)
    )
    assert str(second) == "no é here"
    assert {str(first), str(third)} == {"process 1 of this run: no é here"}
    assert {type(x) for x in (first, second, third)} == {UserError}
    assert together(lambda: hosts.agreed(lambda: 1), lambda: hosts.agreed(lambda: 2)) == [1, 2]


def test_an_error_that_all_hosts_have_is_alone_on_none(monkeypatch):
    """One that is alone ends the process at once: in a comparison, too, whose other runs would go on without it."""
    monkeypatch.setattr(hosts.jax.distributed, "is_initialized", lambda: True)
    alone, common = UserError("a full disk"), UserError("diverged")

    def asks():
        with pytest.raises(UserError, match="diverged"):
            hosts.raised_by_all(common)
        return hosts.is_alone(alone), hosts.is_alone(common)

    assert together(asks, asks) == [(True, False)] * 2
    assert not hosts.is_alone(alone)  # of one host none is

    def trains(error):
        def raises(*arguments, **options):
            raise error

        monkeypatch.setattr(training.loop, "train", raises)
        monkeypatch.setattr(training, "config_of", lambda config, job: config)
        monkeypatch.setattr(hosts, "is_alone", lambda error: error is alone)
        return training.train(None, pathlib.Path("nowhere"), Job("balance", "equal()", 0, "equal"))

    assert trains(common).status == "failed"
    with pytest.raises(UserError, match="a full disk"):
        trains(alone)


def test_where_a_workdir_is_held_all_hosts_end(tmp_path):
    def use():
        with sole_use_by_all(tmp_path):
            return "used"

    assert together(use, use) == ["used", "used"]
    with sole_use(tmp_path):
        first, second = together(use, use)
    assert "in use by another run" in str(first)
    assert str(second) == f"process 0 of this run: {first}"
    assert not (tmp_path / LOCK_FILE).exists()


def test_a_checkpoint_that_does_not_fit_on_one_host_is_refused_by_all(tmp_path):
    (tmp_path / "3").mkdir()

    def read(check):
        return checkpoint._newest(tmp_path, lambda folder: int(folder.name), check_fits=check)

    first, second = together(lambda: read(lambda folder: None), lambda: read(lambda folder: fails("another state")))
    assert [str(first), str(second)] == ["process 1 of this run: another state", "another state"]
    assert together(*[lambda: read(lambda folder: None)] * 2) == [3, 3]


def test_hosts_wait_together_for_who_holds_a_folder_and_the_first_tells(tmp_path, monkeypatch, capsys):
    """One that waited in an exchange, while the first waits for the lock, would give up after half a minute."""
    slept = []
    monkeypatch.setattr(workdir.time, "sleep", lambda seconds: slept.append(seconds) or held.close())
    held = contextlib.ExitStack()

    def use():
        with workdir.in_turn(tmp_path):
            return "used"

    held.enter_context(sole_use(tmp_path))
    assert together(use, use) == ["used", "used"]
    assert len(slept) >= 2
    assert capsys.readouterr().err.count("waiting for what another process makes: workdir") == 1
