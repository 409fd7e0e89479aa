"""Where the modules of a user's own lie: on Python's path, or beside the config; a run keeps their folders."""

import importlib.machinery
import importlib.util
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mtljax.errors import UserError, is_users
from mtljax.train.config.own import is_own, names_in

_NO_CALLS = ("pretrained", "init_from", "no_decay", "modules")  # texts that are no call-strings
_looked_in: list[str] = []


def folders_of(config: Mapping[str, Any], beside: str | os.PathLike | None = None) -> str:
    """The folders of the modules that a config's call-strings name, with `os.pathsep` between them.

    Nothing is imported. Those that Python itself or an installed package brings are left out.

    Args:
        config: keys -> values, nested ones too.
        beside: folder of the config file, in which what is not on Python's path is looked for.

    Example:
        >>> folders_of({"data": "math:sqrt()", "tasks": {"age": "nowhere:age()"}})
        ''
    """
    folders: dict[str, None] = {}
    for module in modules_in(config):
        path = None if beside is None else [str(beside)]
        place = _place(importlib.machinery.PathFinder.find_spec(module)) or _place(
            path and importlib.machinery.PathFinder.find_spec(module, path)
        )
        if place and is_users(place):
            folders[place] = None
    return os.pathsep.join(folders)


def remember(config: Any, beside: str | os.PathLike) -> None:
    """Writes the folders of modules into a config, an `ml_collections.ConfigDict`, that does not have them yet."""
    found = "" if config.get("modules") else folders_of(config, beside)
    if found:
        with config.unlocked():
            config.modules = found


def modules_in(config: Mapping[str, Any]) -> list[str]:
    """The modules that call-strings name, without what follows a dot.

    Example:
        >>> modules_in({"model": "MultiTask(mine.nets:Net(8))", "tasks": {"age": "other:age()"}, "init_from": "a:b"})
        ['mine', 'other']
    """
    return sorted({name.partition(":")[0].partition(".")[0] for name in _own_names(config)})


def look_in(folders: str, modules: Iterable[str] = ()) -> None:
    """Puts folders at the end of Python's path.

    Args:
        folders: as `folders_of` gives them.
        modules: that will be looked for.

    Raises:
        UserError: where another run of this process has brought another module of the same name.
    """
    wanted = [folder for folder in folders.split(os.pathsep) if folder]
    for module in modules:
        loaded = _place(getattr(sys.modules.get(module), "__spec__", None))
        there = [folder for folder in wanted if importlib.machinery.PathFinder.find_spec(module, [folder])]
        if loaded in _looked_in and there and loaded not in there:
            raise UserError(
                f"module {module!r} of {there[0]!r} cannot be imported beside that of {loaded!r}, which has the same "
                "name; expected another name, or a process for each."
            )
    for folder in wanted:
        if folder not in sys.path:
            sys.path.append(folder)
        if folder not in _looked_in:
            _looked_in.append(folder)


def _own_names(config: Mapping[str, Any]) -> Iterator[str]:
    for key, value in config.items():
        if isinstance(value, Mapping) or hasattr(value, "items"):
            yield from _own_names(value)
        elif isinstance(value, str) and ":" in value and key not in _NO_CALLS:
            try:
                yield from filter(is_own, names_in(value))
            except (SyntaxError, ValueError, MemoryError):
                continue  # it is told where it is resolved


def _place(spec: Any) -> str | None:
    """The folder in which a module or a package is."""
    if spec is None:
        return None
    inside = spec.submodule_search_locations
    if inside is not None:
        return next((str(pathlib.Path(folder).resolve().parent) for folder in inside), None)
    return str(pathlib.Path(spec.origin).parent.resolve()) if spec.has_location and spec.origin else None
