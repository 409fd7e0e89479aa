"""The config of a run as it stands in the workdir: written, read, and compared with that of today."""

import json
import pathlib

import ml_collections

from mtljax.errors import UserError
from mtljax.train.config.default import default_config, flat
from mtljax.train.config.stored import CONFIG_FILE, load
from mtljax.train.run.workdir import replace_text, unwritable

__all__ = ["CONFIG_FILE", "get_config", "load", "refuse_change", "settle", "write"]


def get_config(workdir: str) -> ml_collections.ConfigDict:
    """The config that a run left: as a config file, this module takes the workdir after a colon.

    Raises:
        UserError: where there is none, or it cannot be read.
    """
    return load(pathlib.Path(workdir).expanduser() / CONFIG_FILE)


def settle(config: ml_collections.ConfigDict, workdir: pathlib.Path, *, allow_change: bool = False) -> None:
    """Writes the config into a new workdir, or checks it against the one that is there.

    Raises:
        UserError: where the workdir holds another config (and `allow_change` is not given) or cannot be written.
    """
    refuse_change(config, workdir, allow_change=allow_change)
    write(config, workdir)


def refuse_change(config: ml_collections.ConfigDict, workdir: pathlib.Path, *, allow_change: bool = False) -> None:
    """Writes nothing, but checks the config against that of a workdir, if there is one.

    Raises:
        UserError: with the keys that differ (unless `allow_change` is given), or where that config cannot be read.
    """
    file = workdir / CONFIG_FILE
    if not file.exists():
        return
    before = flat(default_config()) | flat(load(file))  # it may be older than a key
    now = flat(config)
    # Where the user's own modules lie is no matter of what is trained, nor what is looked at.
    changed = [key for key in sorted({*before, *now} - {"modules", "profile"}) if before.get(key) != now.get(key)]
    if changed and not allow_change:
        lines = [f"  {key}: {before.get(key)!r} there, {now.get(key)!r} now" for key in changed]
        raise UserError(
            f"workdir {str(workdir)!r} holds a run of another config:\n"
            + "\n".join(lines)
            + "\nChoose another --workdir, or --allow_config_change to go on with the new config (in Python, "
            "allow_config_change=True)."
        )


def write(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> None:
    """Writes the config into a workdir, made if need be.

    Raises:
        UserError: where it cannot be written.
    """
    file, text = workdir / CONFIG_FILE, json.dumps(config.to_dict(), indent=2) + "\n"
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.read_text() != text:
            replace_text(file, text)
    except OSError as error:
        raise unwritable(workdir, error) from error
