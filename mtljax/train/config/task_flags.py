"""Tasks that flags add, change and drop: `--config.tasks.age='regress(label="age")'`, `--config.tasks.shape=''`."""

import re
import sys
from collections.abc import Sequence
from typing import Any

import ml_collections

from mtljax.errors import UserError, nearest, unknown

_FLAG = re.compile(r"--?config\.(tasks|optimizers)\.([^=]+)(?:=(.*))?", re.DOTALL)
Edits = dict[str, dict[str, str]]


def taken_out(arguments: Sequence[str]) -> tuple[list[str], Edits]:
    """The arguments without flags of tasks and optimisers, and these: group of keys -> key -> call-string, last wins.

    Raises:
        UserError: for a flag without a value.

    Example:
        >>> taken_out(["launch.py", "--config.tasks.age=regress('age')", "--config.tasks.shape", "", "--mode=eval"])
        (['launch.py', '--mode=eval'], {'tasks': {'age': "regress('age')", 'shape': ''}, 'optimizers': {}})
    """
    kept: list[str] = []
    edits: Edits = {"tasks": {}, "optimizers": {}}
    given = iter(arguments)
    for argument in given:
        found = _FLAG.fullmatch(argument)
        if found is None:
            kept.append(argument)
            continue
        group, name, text = found.groups()
        text = next(given, None) if text is None else text
        if text is None or text.startswith("--") or not name.isidentifier():
            raise UserError(f"{argument}: expected --config.{group}.NAME='call-string', or NAME='' for none.")
        edits[group][name] = text
    return kept, edits


def edit(config: ml_collections.ConfigDict, edits: Edits) -> None:
    """Adds, changes and, where the call-string is empty, drops tasks and optimisers of a config.

    A new task has the optimiser of `shared`, until a flag gives it one; with a task its optimiser goes.

    Raises:
        UserError: for a task or optimiser to drop that is not there, or a config without tasks.
    """
    for group, changes in edits.items():
        if changes and group not in config:
            raise unknown("config key", group, config.keys())
    with config.unlocked():
        for name, text in edits["tasks"].items():
            _edit_task(config, name, text)
        for name, text in edits["optimizers"].items():
            _set(config, "optimizers", name, text)


def _edit_task(config: Any, name: str, text: str) -> None:
    tasks, optimizers = config.tasks, config.get("optimizers", {})
    if text and name not in tasks:
        near = nearest(name, tasks)
        if near:
            print(f"note: config.tasks.{name} is a new task beside {near!r}.", file=sys.stderr, flush=True)
        if name not in optimizers and "shared" in optimizers:
            optimizers[name] = optimizers["shared"]
    _set(config, "tasks", name, text)
    if not text and name in optimizers:
        del optimizers[name]


def _set(config: Any, group: str, name: str, text: str) -> None:
    if text:
        config[group][name] = text
    elif name in config[group]:
        del config[group][name]
    else:
        raise unknown(f"key to drop of config.{group}:", name, config[group])
