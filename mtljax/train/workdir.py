"""What keeps a workdir in order: one run at a time, and checksums of what it has saved."""

import contextlib
import fcntl
import json
import os
import pathlib
import zlib
from collections.abc import Iterable, Iterator

from mtljax.errors import UserError

_CHUNK = 1 << 22


@contextlib.contextmanager
def sole_use(workdir: pathlib.Path) -> Iterator[None]:
    """Holds a workdir, made if need be, for this process alone; the system lets it go however the process ends.

    Raises:
        UserError: where another process holds it, or it cannot be made.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        folder = os.open(workdir, os.O_RDONLY)
    except OSError as error:
        raise unwritable(workdir, error) from error
    try:
        _lock(folder, workdir)
        yield
    finally:
        os.close(folder)


def _lock(folder: int, workdir: pathlib.Path) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(
            f"workdir {str(workdir)!r} is in use by another run; stop it first, or choose another --workdir."
        ) from None
    except OSError:  # a file system without locks
        pass


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
            temporary = self._file.with_suffix(".tmp")
            temporary.write_text(json.dumps(now))
            temporary.replace(self._file)

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
