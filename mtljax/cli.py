"""The command line: `python launch.py`, or `python -m mtljax`. Its flags, and its modes.

Exit statuses: 0; 1 where runs of a comparison failed; 2 for a mistake in what was given, told in one message; of a run
that a signal has stopped, see `mtljax.train.run.signals`.
"""

import os
import pathlib
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from typing import Any

import ml_collections
from absl import flags, logging

from mtljax.command import flags as given
from mtljax.command import parsing
from mtljax.command.flags import split
from mtljax.errors import UserError, place_of, told

# What takes seconds to import, and is not needed to tell of a mistake in the flags, is imported where it is used.

_LAST_WORDS = 2.0  # seconds
_ANSWERS = ("eval", "predict", "export", "report")  # modes of which figures or files are wanted


def main(arguments: Sequence[str]) -> int:
    """Runs a command line.

    Args:
        arguments: the program and what it is given, as `sys.argv`, of which the flags of the config are read.

    Returns:
        The exit status.
    """
    try:
        if asked := information(arguments):
            print(asked)
            return 0
        config = parsing.parsed(arguments)
        given.check_together(config)
        _begin()
        if given.WORKER.value:
            from mtljax.studies.comparison import worker

            return worker.main()
        workdir = _folder(given.WORKDIR.value)
        if given.MODE.value == "report":
            return report(workdir)
        if given.MODE.value in ("eval", "predict", "export"):
            if workdir is None:
                raise UserError(f"--mode={given.MODE.value} is for a trained run; give its --workdir.")
            return evaluate(config, workdir) if given.MODE.value == "eval" else serve(config, workdir)
        return train(config, workdir or _new_workdir(arguments), arguments[1:])
    except (UserError, flags.Error) as error:
        print(f"{pathlib.Path(arguments[0]).name}: error: {parsing.readable(error)}", file=sys.stderr, flush=True)
        _leave_others(error)
        return 2
    except Exception as error:
        if place_of(error) is None:
            _leave_others(error, traceback.format_exc())
            raise
        print(f"{pathlib.Path(arguments[0]).name}: error in your code: {told(error)}", file=sys.stderr, flush=True)
        _leave_others(error)
        return 2


def _leave_others(error: Exception, traced: str = "") -> None:
    """Ends one of several processes that train together at once, where the others may not know of its error.

    Args:
        error: of this process.
        traced: what is printed before; an error that is told so is one of ours, with another exit status.
    """
    hosts = sys.modules.get("mtljax.train.spread.hosts")
    if hosts is None or not hosts.is_alone(error):
        return
    print(traced, end="", file=sys.stderr, flush=True)
    if hosts.first():
        time.sleep(_LAST_WORDS)  # it takes the others along, who may have the same to say
    os._exit(1 if traced else 2)  # leaving in good order would wait for the others, who wait for this one


def information(arguments: Sequence[str]) -> str | None:
    """What `--help` or `--list` asks for, if one of them stands there."""
    if {"-h", "--help", "-help"} & set(arguments):
        from mtljax.command import help_text

        name = parsing.value_of("config", arguments)
        return help_text.of_flags() if name is None else help_text.of_config(parsing.config_file(name.split(":")[0]))
    if (kind := parsing.value_of("list", arguments)) is not None:
        from mtljax.command import listing

        return listing.of(kind)
    return None


def report(workdir: pathlib.Path | None) -> int:
    """Writes the page of runs that are there, and what stands beside it; returns the exit status."""
    from mtljax.studies.comparison import gather

    methods, metrics = split(given.METHODS.value), split(given.METRICS.value)
    written = gather.report(
        workdir, split(given.WORKDIRS.value), methods=methods, baseline=given.BASELINE.value, metrics=metrics
    )
    print(f"report: {written}", flush=True)
    return 0


def evaluate(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> int:
    """Prints the figures of a checkpoint of a workdir as one JSON object; returns the exit status."""
    from mtljax.train.run import loop

    print(loop.as_json(loop.evaluate(config, workdir, given.CHECKPOINT.value)), flush=True)
    return 0


def serve(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> int:
    """Predicts for files with a checkpoint of a workdir, or exports it; returns the exit status."""
    from mtljax.serving import commands

    out = _folder(given.OUT.value)
    tasks = split((given.TASKS.value or "").replace(",", ";"))
    if given.MODE.value == "predict":
        return commands.predict(config, workdir, given.IMAGES.value, out, tasks, given.CHECKPOINT.value)
    return commands.export(config, workdir, given.FORMAT.value, out, tasks, given.CHECKPOINT.value)


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
        elif given.MODE.value == "compare":
            failed = compare(config, workdir, arguments)
        elif given.MODE.value == "relate":
            failed = relate(config, workdir, arguments)
        else:
            refuse_comparison(workdir)
            fitting.train(config, workdir, allow_config_change=given.ALLOW_CHANGE.value)
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

    own: dict[str, Any] = {
        "vary": given.VARY.value,
        "shares": given.SHARES.value,
        "part": given.JOB.value,
        "baseline": given.BASELINE.value,
    }
    options: dict[str, Any] = _how(arguments) | own | {"metrics": split(given.METRICS.value)}
    return studies.compare(config, workdir, given.METHODS.value or "", given.SEEDS.value, **options)


def _how(arguments: Sequence[str]) -> dict[str, Any]:
    """How runs are trained that a command asks for."""
    return {
        "jobs": (given.JOBS.value or 1) if _has_children() else 0,
        "devices_per_job": given.DEVICES_PER_JOB.value,
        "simulate_devices": given.SIMULATE_DEVICES.value,
        "retry_failed": given.RETRY_FAILED.value,
        "allow_config_change": given.ALLOW_CHANGE.value,
        "arguments": arguments,
    }


def relate(config: ml_collections.ConfigDict, workdir: pathlib.Path, arguments: Sequence[str]) -> int:
    """Measures by `--relations` which tasks help which; returns how many runs failed."""
    from mtljax import studies

    own: dict[str, Any] = {
        "budgets": given.BUDGETS.value,
        "importance": given.IMPORTANCE.value,
        "yes": given.YES.value,
        "seeds": given.SEEDS.value,
    }
    return studies.relate(config, workdir, given.RELATIONS.value or "", **(_how(arguments) | own))


def _begin() -> None:
    """What comes before JAX looks for devices: how many, signals, and the other processes of the run."""
    if _has_children():
        import jax

        jax.config.update("jax_platforms", "cpu")  # the others are the children's
    elif given.SIMULATE_DEVICES.value:
        import jax

        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", given.SIMULATE_DEVICES.value)
    from mtljax.train.run import signals
    from mtljax.train.spread import compilation_cache, compiler_options, hosts

    if given.QUICKLY.value and not compiler_options.compile_quickly():
        said = "warning: --compile_quickly changes nothing: XLA_FLAGS has --xla_backend_extra_options of its own."
        print(said, file=sys.stderr, flush=True)
    compilation_cache.keep(given.CACHE.value)
    # 0 where the same command goes on, but no success where figures were wanted.
    failed: dict[int, int] = {signal.SIGTERM: 143} if given.MODE.value in _ANSWERS else {}
    status = signals.STATUS | failed
    signals.watch(status, patient=given.WORKER.value)
    if not _has_children() and not given.WORKER.value and given.MODE.value != "report":
        hosts.join(given.COORDINATOR.value, given.NUM_PROCESSES.value, given.PROCESS_ID.value)
    signals.watch(status)  # JAX may have put handlers of its own there
    logging.set_verbosity(logging.FATAL)  # Orbax logs whole tracebacks of what it raises again in our thread.


def _has_children() -> bool:
    """Whether runs are trained by child processes, not by this one, alone or together with other hosts."""
    from mtljax.train.spread import hosts

    together = given.COORDINATOR.value is not None or (given.JOBS.value is None and hosts.announced(os.environ))
    return (
        given.MODE.value in ("compare", "relate") and not given.WORKER.value and given.JOBS.value != 0 and not together
    )


def _folder(name: str | None) -> pathlib.Path | None:
    """A folder that a flag names; ~ is the home, which shells do not put behind an equals sign."""
    return pathlib.Path(name).expanduser() if name else None


def _new_workdir(arguments: Sequence[str]) -> pathlib.Path:
    config_file = (parsing.value_of("config", arguments) or "run").split(":")[0]
    return pathlib.Path("runs") / f"{pathlib.Path(config_file).stem}-{time.strftime('%Y%m%d-%H%M%S')}"
