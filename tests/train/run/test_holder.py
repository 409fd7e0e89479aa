"""Who holds a workdir, as other hosts see it."""

import json
import os
import time

import pytest

from mtljax.train.run import holder
from mtljax.train.run.workdir import LOCK_FILE, InUse, sole_use


def test_a_lock_names_its_holder_and_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(holder, "BEAT", 0.01)
    with sole_use(tmp_path):
        lock = tmp_path / LOCK_FILE
        assert holder.named(lock) == holder.this()
        os.utime(lock, (0, 0))
        begin = time.monotonic()
        while lock.stat().st_mtime == 0:
            assert time.monotonic() - begin < 60
            time.sleep(0.01)
        with pytest.raises(InUse, match=f"in use by another run .process {os.getpid()} on "), sole_use(tmp_path):
            pass
    assert not lock.exists()


def left(folder, host, age):
    """A lock that a process has left, or holds where locks do not count."""
    lock = folder / LOCK_FILE
    lock.write_text(json.dumps({"host": host, "pid": 1}))
    os.utime(lock, (time.time() - age,) * 2)
    return lock


def test_a_process_of_another_host_holds_it_while_it_lives(tmp_path):
    lock = left(tmp_path, "elsewhere", holder.GONE / 2)
    with pytest.raises(InUse, match="process 1 on elsewhere"), sole_use(tmp_path):
        pass
    assert holder.named(lock) == ("elsewhere", 1)


@pytest.mark.parametrize(("host", "age"), [("elsewhere", 2 * holder.GONE), (holder.this().host, 0)])
def test_what_a_process_left_that_is_gone_is_free(tmp_path, host, age):
    lock = left(tmp_path, host, age)
    with sole_use(tmp_path):
        assert holder.named(lock) == holder.this()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": "a"}'])
def test_a_lock_that_names_nobody_is_held_by_nobody_elsewhere(tmp_path, text):
    (tmp_path / LOCK_FILE).write_text(text)
    assert holder.named(tmp_path / LOCK_FILE) is None
    with sole_use(tmp_path):
        pass
