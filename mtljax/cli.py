"""The command line: `python launch.py`, or `python -m mtljax`. Its flags, and its modes.

Exit statuses: 0; 1 where runs of a comparison failed; 2 for a mistake in what was given, told in one message; of a run
that a signal has stopped, see `mtljax.train.run.signals`.
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
    ["train", "eval", "compare", "report"],
    "Train; evaluate the newest checkpoint of --workdir; train with each of --methods, --seeds times; or write the "
    "page of a run, of a comparison or of --workdirs again.",
)
_METHODS = flags.DEFINE_string("methods", None, "Balancers to compare, ; between them; `single`: a network a task.")
_VARY = flags.DEFINE_string(
    "vary",
    None,
    "Config key that --methods are values of: balance (the default), model, batch_size, ...; or several, as in "
    "--vary=balance,measure --methods='equal()|shared;pcgrad()|features'.",
)
_SEEDS = flags.DEFINE_integer("seeds", 3, "Runs of each of --methods, from config.seed on.", 1)
_SHARES = flags.DEFINE_string("shares", None, "Shares of the training examples to compare with: '0.1;0.25;0.5;1'.")
_JOBS = flags.DEFINE_integer("jobs", None, "Compare: child processes that train at once (1); 0: this one trains.", 0)
_DEVICES_PER_JOB = flags.DEFINE_integer("devices_per_job", None, "Compare: devices of each of --jobs; default: all.", 1)
_JOB = flags.DEFINE_string("job", None, "Compare: train a part of the runs, such as the third sixteenth, 3/16.")
_RETRY_FAILED = flags.DEFINE_bool("retry_failed", False, "Compare: try again what diverged or was killed.")
_BASELINE = flags.DEFINE_string("baseline", None, "Method that the others are held against; default: single.")
_METRICS = flags.DEFINE_string("metrics", None, "Metrics in tables, ; between them: 'depth/AbsRel;normals/mean'.")
_WORKDIRS = flags.DEFINE_string("workdirs", None, "Report: runs and comparisons, ; between them, on one page.")
_WORKER = flags.DEFINE_bool("worker", False, "Of child processes alone: train what standard input names.")
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
        _check_together(config)
        _begin()
        if _WORKER.value:
            from mtljax.studies.comparison import worker

            return worker.main()
        workdir = pathlib.Path(_WORKDIR.value) if _WORKDIR.value else None
        if _MODE.value == "report":
            return report(workdir)
        if _MODE.value == "eval":
            if workdir is None:
                raise UserError("--mode=eval evaluates a run; give its --workdir.")
            return evaluate(config, workdir)
        return train(config, workdir or _new_workdir(arguments), arguments[1:])
    except (UserError, flags.Error) as error:
        print(f"{pathlib.Path(arguments[0]).name}: error: {_readable(error)}", file=sys.stderr)
        return 2


def report(workdir: pathlib.Path | None) -> int:
    """Writes the page of runs that are there, and what stands beside it; returns the exit status."""
    from mtljax.studies.comparison import gather

    methods, metrics = split(_METHODS.value), split(_METRICS.value)
    written = gather.report(workdir, split(_WORKDIRS.value), methods=methods, baseline=_BASELINE.value, metrics=metrics)
    print(f"report: {written}", flush=True)
    return 0


def evaluate(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> int:
    """Prints the figures of the newest checkpoint of a workdir as one JSON object; returns the exit status."""
    from mtljax.train.run import loop

    print(loop.as_json(loop.evaluate(config, workdir)), flush=True)
    return 0


def train(config: ml_collections.ConfigDict, workdir: pathlib.Path, arguments: Sequence[str] = ()) -> int:
    """Trains, compares what `--methods` names, or runs the study that the config names; returns the exit status."""
    from mtljax import fitting, studies
    from mtljax.studies.comparison.check import refuse_comparison
    from mtljax.train.run import loop
    from mtljax.train.spread import hosts

    failed = 0
    try:
        if "study" in config:
            studies.run(config, workdir)
        elif _MODE.value == "compare":
            failed = compare(config, workdir, arguments)
        else:
            refuse_comparison(workdir)
            fitting.train(config, workdir, allow_config_change=_ALLOW_CHANGE.value)
    except loop.Stopped as stopped:
        return int(stopped.code or 0)
    except hosts.Lost as lost:
        os._exit(int(lost.code or 0))  # leaving in good order would wait for the process that is gone
    if hosts.first():
        print(f"workdir: {workdir}", flush=True)
    return 1 if failed else 0


def compare(config: ml_collections.ConfigDict, workdir: pathlib.Path, arguments: Sequence[str]) -> int:
    """Compares what `--methods` names; returns how many of the runs failed."""
    from mtljax import studies

    return studies.compare(
        config,
        workdir,
        _METHODS.value or "",
        _SEEDS.value,
        vary=_VARY.value,
        shares=_SHARES.value,
        jobs=(_JOBS.value or 1) if _has_children() else 0,
        devices_per_job=_DEVICES_PER_JOB.value,
        simulate_devices=_SIMULATE_DEVICES.value,
        part=_JOB.value,
        retry_failed=_RETRY_FAILED.value,
        baseline=_BASELINE.value,
        metrics=split(_METRICS.value),
        allow_config_change=_ALLOW_CHANGE.value,
        arguments=arguments,
    )


def split(names: str | None) -> list[str]:
    """Names with ; between them."""
    return [name for name in map(str.strip, (names or "").split(";")) if name]


def parsed(arguments: Sequence[str]) -> ml_collections.ConfigDict:
    """Reads flags; gives the config, an empty one where none is needed.

    Raises:
        UserError or flags.Error: for an unknown flag or key, a value that a flag cannot have, or a config file that is
            not there or cannot be read.
    """
    given = [argument.split("=")[0].lstrip("-") for argument in arguments if argument.startswith("-")]
    needless = _value_of("mode", arguments) == "report" or "worker" in given
    if "config" not in given and not needless:
        # A run can be evaluated or repeated from its workdir alone.
        workdir = _value_of("workdir", arguments)
        if workdir is None:
            raise UserError("give --config, such as --config configs/quickstart.py, or the --workdir of a run.")
        arguments = [arguments[0], f"--config={_from_workdir()}:{workdir}", *arguments[1:]]
    file = pathlib.Path(str(_value_of("config", arguments)).split(":")[0])
    if not file.is_file() and ("config" in given or not needless):
        shipped = pathlib.Path(arguments[0]).resolve().parent / "configs"
        near = {str(path) for folder in (file.parent, shipped) for path in folder.glob("*.py")}
        raise unknown("config file", str(file), near)
    try:
        rest = flags.FLAGS(arguments)
        config = ml_collections.ConfigDict() if _CONFIG.value is None else _CONFIG.value
        config.keys()  # A file that could not be read fails here, not above.
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise _readable(error) from error
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}; every choice is a flag, such as --config.steps=100.")
    return config


def _begin() -> None:
    """What comes before JAX looks for devices: how many, signals, and the other processes of the run."""
    if _has_children():
        import jax

        jax.config.update("jax_platforms", "cpu")  # the others are the children's
    elif _SIMULATE_DEVICES.value:
        import jax

        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", _SIMULATE_DEVICES.value)
    from mtljax.train.run import signals
    from mtljax.train.spread import compilation_cache, hosts

    compilation_cache.keep(_CACHE.value)
    # 0 where the same command goes on, but no success where figures were wanted.
    failed: dict[int, int] = {signal.SIGTERM: 143} if _MODE.value in ("eval", "report") else {}
    status = signals.STATUS | failed
    signals.watch(status, patient=_WORKER.value)
    if not _has_children() and not _WORKER.value and _MODE.value != "report":
        hosts.join(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    signals.watch(status)  # JAX may have put handlers of its own there
    logging.set_verbosity(logging.FATAL)  # Orbax logs whole tracebacks of what it raises again in our thread.


def _has_children() -> bool:
    """Whether runs are trained by child processes, not by this one, alone or together with other hosts."""
    from mtljax.train.spread import hosts

    together = _COORDINATOR.value is not None or (_JOBS.value is None and hosts.announced(os.environ))
    return _MODE.value == "compare" and not _WORKER.value and _JOBS.value != 0 and not together


def _check_together(config: ml_collections.ConfigDict) -> None:
    mode = _MODE.value
    if mode == "compare" and not split(_METHODS.value) and not _WORKER.value:
        raise UserError("--mode=compare and --methods go together: --mode=compare --methods='equal();pcgrad()'.")
    compare, shown = "--mode=compare", "--mode=compare or --mode=report"
    flags_of = {
        compare: (_VARY, _SHARES, _JOBS, _DEVICES_PER_JOB, _JOB),
        shown: (_METHODS, _BASELINE, _METRICS),
        "--mode=report": (_WORKDIRS,),
    }
    for modes, them in flags_of.items():
        for flag in them:
            if flag.value is not None and f"--mode={mode}" not in modes.split(" or "):
                raise UserError(f"--{flag.name} goes with {modes}: --mode=compare --methods='equal();pcgrad()'.")
    if _RETRY_FAILED.value and mode != "compare":
        raise UserError(f"--retry_failed goes with {compare}.")
    if _COORDINATOR.value is not None and _JOBS.value:
        raise UserError("--jobs starts processes each of which trains alone: it goes without --coordinator.")
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
