"""Who holds a lock file: its host and process, and a sign of life for hosts between which locks do not count."""

import contextlib
import json
import os
import pathlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from typing import NamedTuple

BEAT, GONE = 5.0, 60.0  # seconds between signs of life; and without one, after which a holder elsewhere is gone


class Holder(NamedTuple):
    """A process on a host."""

    host: str
    pid: int

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def this() -> Holder:
    """This process."""
    return Holder(socket.gethostname(), os.getpid())


def named(file: pathlib.Path) -> Holder | None:
    """Who a lock file names; None where there is no such file, or it names nobody."""
    try:
        found = json.loads(file.read_text())
        return Holder(str(found["host"]), int(found["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def alive_elsewhere(file: pathlib.Path) -> bool:
    """Whether a lock file names a process of another host that has given a sign of life in the last `GONE` seconds.

    Of this host, the lock itself is the better witness. Both times are those of the file system, whatever the clocks
    of the hosts say.
    """
    holder = named(file)
    if holder is None or holder.host == socket.gethostname():
        return False
    try:
        with tempfile.TemporaryFile(dir=file.parent) as now:
            return os.fstat(now.fileno()).st_mtime - file.stat().st_mtime < GONE
    except OSError:
        return False


@contextlib.contextmanager
def noted(held: int) -> Iterator[None]:
    """Names this process in a lock file that it holds, and gives signs of life.

    Args:
        held: descriptor of the file, open for writing.
    """
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT):
            with contextlib.suppress(OSError):
                os.utime(held)

    with contextlib.suppress(OSError):  # a full disk; the lock is what counts
        os.ftruncate(held, 0)
        os.pwrite(held, json.dumps(this()._asdict()).encode(), 0)
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
