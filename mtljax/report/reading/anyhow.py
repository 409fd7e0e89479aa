"""Runs that were trained one by one, not as jobs of a comparison: what differs between their configs is the method."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mtljax.defaults import DEFAULTS
from mtljax.report.reading.folders import Folder
from mtljax.report.runs import SINGLE

_NOT_METHODS = ("seed", "train_share", "log_every", "eval_every", "checkpoint_every", "keep_checkpoints", "keep_best")
# What is logged or kept, how fast data is read, and where modules of one's own lie.
_NOR_THESE = ("panel_images", "loader_threads", "cosines_every", "affinity_every", "affinity_step", "profile")
_NOR_THOSE = ("writers", "modules")
_DEFAULT = "balance"
_NO_SUCH_KEY = "(no such key)"  # of another version of this library, whose default is not known here


def compared(folders: Sequence[Folder]) -> tuple[list[tuple[str, int, str | None, float]], str]:
    """Method, seed, task and share of every run, and the config's keys that methods are values of.

    A run of one task among runs of several is the network of that task alone. A config may be older than a key: its
    default stands for it, as where such a run goes on.

    Args:
        folders: of the runs.
    """
    configs = [_whole(folder.config()) for folder in folders]
    tasks = [_tasks(config) for config in configs]
    several = len(set().union(*tasks)) > 1 if tasks else False
    alone = [next(iter(own)) if several and len(own) == 1 else None for own in tasks]
    together = [config for config, task in zip(configs, alone, strict=True) if task is None]
    keys = _differing(together) or [_DEFAULT]
    found = [
        (_method(config, keys) if task is None else SINGLE, int(config.get("seed", 0)), task, _share(config))
        for config, task in zip(configs, alone, strict=True)
    ]
    return found, ",".join(keys)


def _whole(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config with the defaults of keys that it lacks, as JSON has them; empty where there is none."""
    known = {key: value for key, value in DEFAULTS.items() if not isinstance(value, Mapping)}
    return {**json.loads(json.dumps(known)), **config} if config else {}


def _tasks(config: Mapping[str, Any]) -> set[str]:
    return {key.removeprefix("tasks.") for key in config if key.startswith("tasks.")}


def _share(config: Mapping[str, Any]) -> float:
    return float(config.get("train_share", 1.0))


def _differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = {key: None for config in configs for key in config if key not in (*_NOT_METHODS, *_NOR_THESE, *_NOR_THOSE)}
    return [key for key in keys if len({repr(config.get(key)) for config in configs}) > 1]


def _method(config: Mapping[str, Any], keys: Sequence[str]) -> str:
    values = {key: config.get(key, "" if "." in key or not config else _NO_SUCH_KEY) for key in keys}
    if len(keys) == 1:
        return str(values[keys[0]])
    return ", ".join(f"{key}={value}" for key, value in values.items())
