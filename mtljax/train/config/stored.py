"""The config that a run left in its workdir."""

import json
import pathlib

import ml_collections

from mtljax.errors import UserError

CONFIG_FILE = "config.json"


def load(file: pathlib.Path) -> ml_collections.ConfigDict:
    """Reads the config that a run left.

    Raises:
        UserError: where there is none, or it cannot be read.
    """
    try:
        found = json.loads(file.read_text())
        if "balance_groups" in found:
            found["balance_groups"] = tuple(map(tuple, found["balance_groups"]))  # which JSON has as lists
        return ml_collections.ConfigDict(found)
    except FileNotFoundError:
        raise UserError(f"no {file.name} in {str(file.parent)!r}: it is no workdir of a run.") from None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"cannot read {str(file)!r}: {error}.") from error
