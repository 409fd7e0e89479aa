"""Figures of several runs, kept in the workdir as they come, so that a stopped study goes on where it was."""

import json
import pathlib
from typing import Any

from mtljax.errors import UserError


def load(file: pathlib.Path) -> dict[str, Any]:
    """What `write_json` wrote; nothing where there is no such file.

    Raises:
        UserError: where it cannot be read.
    """
    try:
        return json.loads(file.read_text()) if file.exists() else {}
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {str(file)!r}: {error}.") from error


def write_json(file: pathlib.Path, results: Any) -> None:
    """Writes results as JSON; see `write`."""
    write(file, json.dumps(results, indent=1) + "\n")


def write(file: pathlib.Path, text: str) -> None:
    """Writes a text, all of it or nothing.

    Raises:
        UserError: where it cannot be written.
    """
    try:
        temporary = file.with_suffix(".tmp")
        temporary.write_text(text)
        temporary.replace(file)
    except OSError as error:
        raise UserError(f"cannot write {str(file)!r}: {error.strerror or error}.") from error
