"""What keeps a workdir in order: one run at a time, files whole or not at all, checksums of what was saved."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import sys
import time
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from mtljax.errors import UserError
from mtljax.train.run import holder
from mtljax.train.spread import hosts

LOCK_FILE = ".lock"
_CHUNK = 1 << 22
_WAIT = 0.5  # seconds between looks whether another process is done
_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


class InUse(UserError):
    """A workdir is held by another process."""


@contextlib.contextmanager
def sole_use(workdir: pathlib.Path, lock: str = LOCK_FILE) -> Iterator[None]:
    """Holds a workdir, made if need be, for this process alone; the system lets it go however the process ends.

    It is held by a lock on a file in it, opened for writing, as NFS wants, which names the holder and which it touches
    now and then (`mtljax.train.run.holder`); the file goes when the holder is done. Of several hosts that train
    together, the first holds it for all.

    Args:
        workdir: to hold.
        lock: the name of the file.

    Raises:
        InUse: where another process holds it, on this host or another.
        UserError: where it cannot be made or written.
    """
    if not hosts.first():
        yield
        return
    made = not workdir.exists()
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        held = _locked(workdir / lock)
    except OSError as error:
        raise unwritable(workdir, error) from error
    try:
        with holder.noted(held):
            yield
    finally:
        (workdir / lock).unlink(missing_ok=True)  # before it is let go: the next one makes its own
        os.close(held)
        if made:
            with contextlib.suppress(OSError):
                workdir.rmdir()  # where nothing was left in it


@contextlib.contextmanager
def sole_use_by_all(workdir: pathlib.Path) -> Iterator[None]:
    """Holds a workdir for all hosts that train together, as `sole_use`; all must ask, and where it is held all end."""
    with contextlib.ExitStack() as stack:
        hosts.agreed(lambda: stack.enter_context(sole_use(workdir)))
        yield


@contextlib.contextmanager
def in_turn(folder: pathlib.Path) -> Iterator[None]:
    """Holds a folder for all hosts, and waits for it where another process makes what goes there, which is told.

    Of several hosts all wait, and hear of the first every now and then: one that waits in an exchange would give up.
    """
    with contextlib.ExitStack() as stack:
        told = False
        while hosts.of_first(bool(held := hosts.agreed(lambda: _held(stack, folder)))):
            if held and not told:
                print(f"waiting for what another process makes: {held}", file=sys.stderr, flush=True)
            told = True
            time.sleep(_WAIT)
        yield


def _held(stack: contextlib.ExitStack, folder: pathlib.Path) -> str:
    """Holds a folder, until the stack ends; says who has it, where another does."""
    try:
        stack.enter_context(sole_use(folder))
    except InUse as error:
        return str(error)
    return ""


def _locked(file: pathlib.Path) -> int:
    """A descriptor of the lock file, locked."""
    while True:
        held = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(held, file)
            if _is_still(held, file):
                if holder.alive_elsewhere(file):
                    raise _in_use(file)
                return held
        except BaseException:
            os.close(held)
            raise
        os.close(held)  # the one who held it took the file away between the two calls


def _in_use(file: pathlib.Path) -> InUse:
    found = holder.named(file)
    who = f" ({found})" if found else ""
    return InUse(
        f"workdir {str(file.parent)!r} is in use by another run{who}; stop it first, or choose another --workdir."
    )


def _lock(held: int, file: pathlib.Path) -> None:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            raise _in_use(file) from None
        print(
            f"workdir {file.parent} cannot be locked ({error.strerror}): see to it that no other run uses it.",
            file=sys.stderr,
            flush=True,
        )


def _is_still(held: int, file: pathlib.Path) -> bool:
    try:
        return os.path.samestat(os.fstat(held), file.stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def replacing(file: pathlib.Path) -> Iterator[pathlib.Path]:
    """A temporary file to write to, which then takes a file's place: whatever happens, all of one or of the other.

    What was written is on the disk before the name changes, and the name before this returns.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(file)
        with contextlib.suppress(OSError):  # not every file system syncs folders
            _sync(file.parent)
    finally:
        temporary.unlink(missing_ok=True)


def replace_text(file: pathlib.Path, text: str) -> None:
    """Writes a text in a file's place; see `replacing`."""
    with replacing(file) as temporary:
        temporary.write_text(text)


def read_json(file: pathlib.Path) -> dict[str, Any]:
    """The object in a file; an empty one where there is none that can be read."""
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _sync(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unwritable(workdir: pathlib.Path, error: OSError) -> UserError:
    """What is said of a workdir that takes no files."""
    return UserError(f"cannot write to workdir {str(workdir)!r}: {error.strerror or error}.")


class Checksums:
    """CRC-32 of every file of every checkpoint, in one file beside their folder.

    Args:
        directory: of the checkpoints, one folder a step.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._file = directory.with_name(f"{directory.name}.crc32.json")

    def seal(self, steps: Iterable[int]) -> None:
        """Notes the checksums of finished checkpoints, and forgets those of others."""
        before = self._known()
        now = {str(step): before.get(str(step)) or self._of(step) for step in steps}
        if now != before:
            replace_text(self._file, json.dumps(now))

    def forget(self, step: int) -> None:
        """Leaves out a checkpoint that is about to be written over."""
        before = self._known()
        if before.pop(str(step), None) is not None:
            replace_text(self._file, json.dumps(before))

    def check(self, step: int) -> None:
        """Raises `ValueError` where a sealed checkpoint is no longer what it was."""
        known = self._known().get(str(step))
        if known is None:
            return  # the run was killed before it could be sealed
        found = self._of(step)
        for name in sorted(known.keys() | found.keys()):
            if known.get(name) != found.get(name):
                raise ValueError(f"{name} is not what was saved")

    def _known(self) -> dict[str, dict[str, int]]:
        try:
            return json.loads(self._file.read_text())
        except (FileNotFoundError, ValueError):
            return {}

    def _of(self, step: int) -> dict[str, int]:
        folder = self._directory / str(step)
        return {str(f.relative_to(folder)): _crc32(f) for f in sorted(folder.rglob("*")) if f.is_file()}


def _crc32(file: pathlib.Path) -> int:
    found = 0
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            found = zlib.crc32(chunk, found)
    return found
