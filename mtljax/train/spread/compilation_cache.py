"""JAX's persistent compilation cache: what one run has compiled, the next one loads."""

import contextlib
import os
import pathlib
import sys
import tempfile
from collections.abc import Mapping

import jax

VARIABLE = "JAX_COMPILATION_CACHE_DIR"
LARGEST = 4 << 30  # bytes; beyond, what has not been written or read for longest is removed
_SECONDS = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
_WORTH = 0.3  # seconds of compiling, below which loading saves little


def folder(given: str | None, environment: Mapping[str, str]) -> pathlib.Path | None:
    """Where compiled programs are kept; None for nowhere.

    Args:
        given: by a flag: a folder, '' for none; None where it was not given.
        environment: whose `JAX_COMPILATION_CACHE_DIR` counts next, then `XDG_CACHE_HOME`, then `HOME`.

    Example:
        >>> print(folder(None, {"HOME": "/home/me"}), folder("", {"HOME": "/home/me"}))
        /home/me/.cache/mtljax/xla None
        >>> print(folder(None, {"JAX_COMPILATION_CACHE_DIR": "/tmp/a"}), folder("/tmp/b", {}))
        /tmp/a /tmp/b
    """
    if given is None:
        given = environment.get(VARIABLE)
    if given is not None:
        return pathlib.Path(given).expanduser() if given else None
    if home := environment.get("XDG_CACHE_HOME"):
        return pathlib.Path(home) / "mtljax" / "xla"
    if home := environment.get("HOME"):
        return pathlib.Path(home) / ".cache" / "mtljax" / "xla"
    return None


def keep(given: str | None = None) -> None:
    """Has JAX keep what it compiles from now on in a folder, made if need be.

    A folder that cannot be written is told of, and the run goes on without one.

    Args:
        given: as `folder` takes it.
    """
    chosen = folder(given, os.environ)
    if chosen is not None:
        try:
            chosen.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=chosen):
                pass
            _shrink(chosen, LARGEST)
        except OSError as error:
            said = f"warning: cannot keep compiled programs in {str(chosen)!r}: {error.strerror or error}"
            print(f"{said}; --compilation_cache=DIR names another folder.", file=sys.stderr, flush=True)
            chosen = None
    jax.config.update("jax_compilation_cache_dir", None if chosen is None else str(chosen))
    if _SECONDS not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _WORTH)


def _shrink(chosen: pathlib.Path, largest: int) -> None:
    """Removes what is oldest in a folder of compiled programs, until the rest takes no more than so many bytes."""
    found = []
    for file in chosen.glob("*-cache"):
        with contextlib.suppress(FileNotFoundError):  # another run may be at it
            known = file.stat()
            found.append((max(known.st_mtime, known.st_atime), known.st_size, file))
    size = sum(size for _, size, _ in found)
    for _, bytes_of, file in sorted(found):
        if size <= largest:
            return
        file.unlink(missing_ok=True)
        size -= bytes_of
