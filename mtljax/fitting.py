"""`mtl.fit`: a training run from Python, of objects as well as of call-strings. The launcher calls it, too."""

import os
import pathlib
import sys
import time
from collections.abc import Mapping
from typing import Any

import ml_collections

from mtljax.errors import UserError
from mtljax.serving import Loaded, load
from mtljax.train.config import objects
from mtljax.train.config.default import default_config
from mtljax.train.run import loop, signals
from mtljax.train.spread import program


def fit(
    config: Mapping[str, Any] | ml_collections.ConfigDict | None = None,
    *,
    workdir: str | os.PathLike[str] | None = None,
    allow_config_change: bool = False,
    **choices: Any,
) -> Loaded:
    """Trains a model of several tasks, or goes on from the newest checkpoint in the workdir.

    What a config names by a call-string may be an object here. In the workdir's `config.json` stands its call-string,
    where it has one (classes and functions of modules, `functools.partial` of them, Flax modules of plain attributes),
    so that the command line goes on with it; else `given('Rows')`, and `mtl.fit` and `mtl.load` are given it again.

    A signal, an interrupt of a notebook's cell and an error in the middle of the run leave a checkpoint, and the same
    call goes on from there. No flags are read.

    Args:
        config: to start from, such as that of a config file or of a workdir; by default, `mtl.train.default_config()`.
        workdir: where the run leaves everything; by default, a new folder in `runs/`.
        allow_config_change: whether to go on in a workdir of another config.
        **choices: keys of the config by their values: `data`, a data set, or a dict of arrays; `tasks`, a dict by name
            or a sequence of `mtl.Task`; `model`, a way to share, or an encoder, which `MultiTask` gets; `balancer`;
            `optimizers`, a dict by group, or one for all; `steps`, `batch_size` and all others.

    Returns:
        The run, as `mtl.load(workdir)` gives it.

    Raises:
        UserError: for any mistake in the input, or a run of updates that are not finite.
        KeyboardInterrupt: after SIGINT, when the state is saved; `SystemExit` after SIGTERM.

    Example:
        >>> import mtljax as mtl
        >>> mtl.fit(data="scenes('tiny')", tasks={"depth": "depth()"}, balancer="pcgard()", optimizers="adam(1e-3)")
        Traceback (most recent call last):
        mtljax.errors.UserError: unknown balancer 'pcgard'; did you mean 'pcgrad'? Known: ...
    """
    values, given = objects.split(choices)
    if not isinstance(config, Mapping | ml_collections.ConfigDict | None):
        raise UserError(
            f"mtl.fit: config={config!r}; expected a dict or a ConfigDict, as a config file's get_config() gives."
        )
    made = ml_collections.ConfigDict(dict(default_config() if config is None else config))
    with made.unlocked(), made.ignore_type():  # types are checked with the rest of the config
        made.update(values)
        for group in set(objects.GROUPS) & set(values):
            made[group] = values[group]  # all of them, none of those of before
    workdir = pathlib.Path("runs", f"fit-{time.strftime('%Y%m%d-%H%M%S')}") if workdir is None else workdir
    workdir = pathlib.Path(workdir).expanduser()
    train(made, workdir, given, allow_config_change=allow_config_change)
    return _loaded(workdir, given)


def train(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    given: objects.Objects = objects.NONE,
    *,
    allow_config_change: bool = False,
) -> dict[str, float]:
    """What `fit` and the launcher have in common; the figures at the end.

    Raises:
        KeyboardInterrupt: after SIGINT, where signals are not those of a command line.
    """
    try:
        return loop.train(config, workdir, given, allow_config_change=allow_config_change)
    except loop.Stopped as stopped:
        if stopped.code and not signals.watched():
            raise KeyboardInterrupt from None  # what a notebook's stop button and a script's Ctrl-C end with
        if signals.watched() and program.unfinished():
            sys.stdout.flush()
            os._exit(int(stopped.code or 0))  # leaving in good order would wait for the compilation
        raise


def _loaded(workdir: pathlib.Path, given: objects.Objects) -> Loaded:
    """The run that is there."""
    choices: dict[str, Any] = {}
    for key, value in ((key, value) for key, value in given.items() if key != "writers"):
        group, _, name = key.partition(".")
        choices[group] = {**choices.get(group, {}), name: value} if name else value
    return load(workdir, **choices)
