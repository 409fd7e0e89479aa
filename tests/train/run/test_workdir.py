"""One run at a time in a workdir, and files that are whole or not there."""

import contextlib
import fcntl
import os
import pathlib

import pytest

from mtljax.errors import UserError
from mtljax.train.run import workdir
from mtljax.train.run.workdir import replace_text, sole_use


def test_a_workdir_is_held_by_one_and_left_clean(tmp_path):
    (tmp_path / "config.json").write_text("")
    with sole_use(tmp_path):
        with pytest.raises(UserError, match="in use by another run"), sole_use(tmp_path):
            pass
        with pytest.raises(UserError, match="in use by another run"), sole_use(tmp_path):
            pass
    with sole_use(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_workdir_that_nothing_was_left_in_goes(tmp_path):
    with contextlib.suppress(RuntimeError), sole_use(tmp_path / "a"):
        raise RuntimeError
    assert not (tmp_path / "a").exists()


def test_a_lock_that_was_left_by_a_killed_run_holds_nobody(tmp_path):
    (tmp_path / workdir.LOCK_FILE).write_text("")
    with sole_use(tmp_path):
        pass


def test_what_is_locked_is_open_for_writing_as_nfs_wants(tmp_path, monkeypatch):
    modes = []
    monkeypatch.setattr(fcntl, "flock", lambda held, _: modes.append(fcntl.fcntl(held, fcntl.F_GETFL) & os.O_ACCMODE))
    with sole_use(tmp_path):
        pass
    assert modes == [os.O_RDWR]


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, capsys):
    def refused(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    with sole_use(tmp_path):
        assert "cannot be locked (No locks available)" in capsys.readouterr().err


def test_a_lock_that_its_holder_took_away_in_between_is_taken_anew(tmp_path, monkeypatch):
    lock, taken = fcntl.flock, []

    def late(held, how):
        if not taken:
            taken.append((tmp_path / workdir.LOCK_FILE).unlink())
        lock(held, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with sole_use(tmp_path), pytest.raises(UserError, match="in use"), sole_use(tmp_path):
        pass


def test_what_is_replaced_is_on_the_disk_before_its_name_changes(tmp_path, monkeypatch):
    file, done = tmp_path / "a.json", []
    file.write_text("before")
    sync, replace = os.fsync, pathlib.Path.replace
    monkeypatch.setattr(os, "fsync", lambda held: (done.append(file.read_text()), sync(held)))
    monkeypatch.setattr(pathlib.Path, "replace", lambda *paths: (done.append("replaced"), replace(*paths)))
    replace_text(file, "after")
    assert done == ["before", "replaced", "after"]  # the folder, too, so that the new name stays
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
