"""The command line: `python launch.py`, or `python -m mtljax`. Its flags, and its modes: train, evaluate, compare.

Exit statuses: 0; 2 for a mistake in what was given, told in one message; of a run that a signal has stopped, see
`mtljax.train.run.signals`.
"""

import os
import pathlib
import re
import signal
import sys
import time
from collections.abc import Sequence

import ml_collections
from absl import flags, logging
from ml_collections import config_flags

from mtljax.errors import UserError, unknown

# What takes seconds to import, and is not needed to tell of a mistake in the flags, is imported where it is used.

_CONFIG = config_flags.DEFINE_config_file("config", None, "Config file; its keys are flags: --config.steps=100.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where the run leaves everything; default: a new folder in runs/.")
_MODE = flags.DEFINE_enum(
    "mode",
    "train",
    ["train", "eval", "compare"],
    "Train; evaluate the newest checkpoint of --workdir; or train with each of --methods, --seeds times.",
)
_METHODS = flags.DEFINE_string("methods", None, "Balancers to compare, ; between them; `single`: a network a task.")
_VARY = flags.DEFINE_string("vary", "balance", "Config key that --methods are values of: model, optimizers.shared, ...")
_SEEDS = flags.DEFINE_integer("seeds", 3, "Runs of each of --methods, from config.seed on.", 1)
_SIMULATE_DEVICES = flags.DEFINE_integer("simulate_devices", None, "Run on this many simulated CPU devices.", 1)
_COORDINATOR = flags.DEFINE_string("coordinator", None, "Several hosts: host:port of the first, the same on all.")
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Several hosts: how many.", 1)
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Several hosts: which this one is, from 0.", 0)
_CACHE = flags.DEFINE_string(
    "compilation_cache",
    None,
    "Folder of compiled programs for later runs; '' for none; default: the user's cache.",
)
_ALLOW_CHANGE = flags.DEFINE_bool("allow_config_change", False, "Go on in a workdir whose config differs.")


def main(arguments: Sequence[str]) -> int:
    """Runs a command line.

    Args:
        arguments: the program and what it is given, as `sys.argv`, of which the flags of the config are read.

    Returns:
        The exit status.
    """
    try:
        config = parsed(arguments)
        _begin()
        workdir = pathlib.Path(_WORKDIR.value) if _WORKDIR.value else None
        _check_together(config)
        if _MODE.value == "eval":
            if workdir is None:
                raise UserError("--mode=eval evaluates a run; give its --workdir.")
            return evaluate(config, workdir)
        return train(config, workdir or _new_workdir(arguments))
    except (UserError, flags.Error) as error:
        print(f"{pathlib.Path(arguments[0]).name}: error: {_readable(error)}", file=sys.stderr)
        return 2


def evaluate(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> int:
    """Prints the figures of the newest checkpoint of a workdir as one JSON object; returns the exit status."""
    from mtljax.train.run import loop

    print(loop.as_json(loop.evaluate(config, workdir)), flush=True)
    return 0


def train(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> int:
    """Trains, compares what `--methods` names, or runs the study that the config names; returns the exit status."""
    from mtljax import studies
    from mtljax.train.run import loop
    from mtljax.train.spread import hosts

    methods, change = _METHODS.value or "", _ALLOW_CHANGE.value
    try:
        if "study" in config:
            studies.run(config, workdir)
        elif _MODE.value == "compare":
            studies.compare(config, workdir, methods, _SEEDS.value, vary=_VARY.value, allow_config_change=change)
        else:
            loop.train(config, workdir, allow_config_change=change)
    except loop.Stopped as stopped:
        return int(stopped.code or 0)
    except hosts.Lost as lost:
        os._exit(int(lost.code or 0))  # leaving in good order would wait for the process that is gone
    if hosts.first():
        print(f"workdir: {workdir}", flush=True)
    return 0


def parsed(arguments: Sequence[str]) -> ml_collections.ConfigDict:
    """Reads flags; gives the config.

    Raises:
        UserError or flags.Error: for an unknown flag or key, a value that a flag cannot have, or a config file that is
            not there or cannot be read.
    """
    given = [argument.split("=")[0].lstrip("-") for argument in arguments if argument.startswith("-")]
    if "config" not in given:
        # A run can be evaluated or repeated from its workdir alone.
        workdir = _value_of("workdir", arguments)
        if workdir is None:
            raise UserError("give --config, such as --config configs/quickstart.py, or the --workdir of a run.")
        arguments = [arguments[0], f"--config={_from_workdir()}:{workdir}", *arguments[1:]]
    file = pathlib.Path(str(_value_of("config", arguments)).split(":")[0])
    if not file.is_file():
        shipped = pathlib.Path(arguments[0]).resolve().parent / "configs"
        near = {str(path) for folder in (file.parent, shipped) for path in folder.glob("*.py")}
        raise unknown("config file", str(file), near)
    try:
        rest = flags.FLAGS(arguments)
        _CONFIG.value.keys()  # A file that could not be read fails here, not above.
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise _readable(error) from error
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}; every choice is a flag, such as --config.steps=100.")
    return _CONFIG.value


def _begin() -> None:
    """What comes before JAX looks for devices: how many, signals, and the other processes of the run."""
    if _SIMULATE_DEVICES.value:
        import jax

        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", _SIMULATE_DEVICES.value)
    from mtljax.train.run import signals
    from mtljax.train.spread import compilation_cache, hosts

    compilation_cache.keep(_CACHE.value)
    # 0 where the same command goes on, but no success where figures were wanted.
    failed: dict[int, int] = {signal.SIGTERM: 143} if _MODE.value == "eval" else {}
    status = signals.STATUS | failed
    signals.watch(status)
    hosts.join(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    signals.watch(status)  # JAX may have put handlers of its own there
    logging.set_verbosity(logging.FATAL)  # Orbax logs whole tracebacks of what it raises again in our thread.


def _check_together(config: ml_collections.ConfigDict) -> None:
    mode = _MODE.value
    if (_METHODS.value is not None) != (mode == "compare"):
        raise UserError("--mode=compare and --methods go together: --mode=compare --methods='equal();pcgrad()'.")
    if "study" in config and mode != "train":
        raise UserError(f"study {config.study!r} is no training run; run it without --mode.")


def _readable(error: BaseException) -> Exception:
    """What stands behind an error of config_flags, which wraps errors and prints whole tracebacks into messages."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    ours = [cause for cause in chain if isinstance(cause, UserError)]
    if ours:
        return ours[-1]
    if near := re.search(r'Did you mean "(.*)" instead of "(.*)"', str(error)):
        return UserError(f"unknown config key {near[2]!r}; did you mean {near[1]!r}?")
    if isinstance(error, KeyError | AttributeError):
        return UserError(f"unknown config key: {error.args[0]}")
    return UserError(str(error).strip().splitlines()[-1].strip())


def _value_of(flag: str, arguments: Sequence[str]) -> str | None:
    for argument, following in zip(arguments, [*arguments[1:], None], strict=True):
        name, equals, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name == flag:
            return value if equals else following
    return None


def _from_workdir() -> str:
    """The config file that takes a workdir and gives the config in it."""
    from mtljax.train.run import config_file

    return config_file.__file__


def _new_workdir(arguments: Sequence[str]) -> pathlib.Path:
    config_file = (_value_of("config", arguments) or "run").split(":")[0]
    return pathlib.Path("runs") / f"{pathlib.Path(config_file).stem}-{time.strftime('%Y%m%d-%H%M%S')}"
