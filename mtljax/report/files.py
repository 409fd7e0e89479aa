"""Files that are written whole or not at all, so that whoever reads, or stops, never finds a half of one."""

import json
import os
import pathlib
from typing import Any

from mtljax.errors import UserError


def load(file: pathlib.Path) -> dict[str, Any]:
    """What `write_json` wrote; nothing where there is no such file.

    Raises:
        UserError: where it cannot be read, or holds no JSON object.
    """
    try:
        found = json.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {str(file)!r}: {error}.") from error
    if not isinstance(found, dict):
        raise UserError(f"cannot read {str(file)!r}: expected a JSON object, found a {type(found).__name__}.")
    return found


def write_json(file: pathlib.Path, results: Any) -> None:
    """Writes results as JSON; see `write`."""
    write(file, json.dumps(results, indent=1) + "\n")


def write(file: pathlib.Path, content: str | bytes) -> None:
    """Writes a text (UTF-8) or bytes in a file's place, all of it or nothing; of two at once, the last one's stands.

    Raises:
        UserError: where it cannot be written.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        temporary.replace(file)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"cannot write {str(file)!r}: {error.strerror or error}.") from error


def made(folder: pathlib.Path) -> pathlib.Path:
    """A folder, made if need be.

    Raises:
        UserError: where it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {str(folder)!r}: {error.strerror or error}.") from error
    return folder
