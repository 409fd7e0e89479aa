"""Trains a config, evaluates a run, or compares balancers on a config.

python launch.py --config configs/quickstart.py
python launch.py --config configs/quickstart.py --workdir runs/a --config.balance='gradnorm(alpha=1.5)'
python launch.py --mode=eval --workdir runs/a
python launch.py --config configs/quickstart.py --mode=compare --methods='single;equal();pcgrad()' --seeds=3
python launch.py --config configs/adult.py --mode=compare --vary=model --methods='MMoE(MLP((64,)));PLE(MLP((64,)))'
"""

import os
import pathlib
import re
import signal
import sys
import time


def _leave(number: int, frame: object) -> None:
    os.write(1, f"\n{signal.Signals(number).name}: left before anything was begun.\n".encode())
    os._exit(_STATUS[number])


# Of one that was stopped: 0 where the same command goes on, but no success where figures were wanted.
_STATUS = {signal.SIGTERM: 143 if {"--mode=eval", "eval"} & {*sys.argv} else 0, signal.SIGINT: 130}

if __name__ == "__main__":  # before what takes seconds to import
    for _number in _STATUS:
        signal.signal(_number, _leave)

from absl import flags, logging  # noqa: E402
from ml_collections import config_flags  # noqa: E402

HERE = pathlib.Path(__file__).parent
FROM_WORKDIR = HERE / "configs" / "from_workdir.py"

FLAGS = flags.FLAGS
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
_ALLOW_CHANGE = flags.DEFINE_bool("allow_config_change", False, "Go on in a workdir whose config differs.")


def main(arguments: list[str]) -> int:
    """Runs the command line; returns the exit status."""
    from mtljax.errors import UserError

    try:
        _parse(arguments)
        return _run()
    except (UserError, flags.Error) as error:
        print(f"launch.py: error: {_readable(error)}", file=sys.stderr)
        return 2


def _parse(arguments: list[str]) -> None:
    from mtljax.errors import UserError, unknown

    given = [argument.split("=")[0].lstrip("-") for argument in arguments if argument.startswith("-")]
    if "config" not in given:
        # A run can be evaluated or repeated from its workdir alone.
        workdir = _value_of("workdir", arguments)
        if workdir is None:
            raise UserError("give --config, such as --config configs/quickstart.py, or the --workdir of a run.")
        arguments = [arguments[0], f"--config={FROM_WORKDIR}:{workdir}", *arguments[1:]]
    file = pathlib.Path(str(_value_of("config", arguments)).split(":")[0])
    if not file.is_file():
        near = {str(path) for folder in (file.parent, HERE / "configs") for path in folder.glob("*.py")}
        raise unknown("config file", str(file), near)
    try:
        rest = FLAGS(arguments)
        _CONFIG.value.keys()  # A file that could not be read fails here, not above.
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise _readable(error) from error
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}; every choice is a flag, such as --config.steps=100.")


def _readable(error: BaseException) -> Exception:
    """What stands behind an error of config_flags, which wraps errors and prints whole tracebacks into messages."""
    from mtljax.errors import UserError

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


def _value_of(flag: str, arguments: list[str]) -> str | None:
    for argument, following in zip(arguments, [*arguments[1:], None], strict=True):
        name, equals, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name == flag:
            return value if equals else following
    return None


def _run() -> int:
    if _SIMULATE_DEVICES.value:
        import jax

        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", _SIMULATE_DEVICES.value)
    from mtljax import studies
    from mtljax.errors import UserError
    from mtljax.train.run import loop, signals
    from mtljax.train.spread import hosts

    signals.watch(_STATUS)
    hosts.join(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    signals.watch(_STATUS)  # JAX may have put handlers of its own there
    config, mode = _CONFIG.value, _MODE.value
    logging.set_verbosity(logging.FATAL)  # Orbax logs whole tracebacks of what it raises again in our thread.
    if (_METHODS.value is not None) != (mode == "compare"):
        raise UserError("--mode=compare and --methods go together: --mode=compare --methods='equal();pcgrad()'.")
    if "study" in config and mode != "train":
        raise UserError(f"study {config.study!r} is no training run; run it without --mode.")
    if mode == "eval":
        if _WORKDIR.value is None:
            raise UserError("--mode=eval evaluates a run; give its --workdir.")
        print(loop.as_json(loop.evaluate(config, pathlib.Path(_WORKDIR.value))), flush=True)
        return 0
    workdir = pathlib.Path(_WORKDIR.value or _new_workdir())
    change = _ALLOW_CHANGE.value
    try:
        if "study" in config:
            studies.run(config, workdir)
        elif mode == "compare":
            studies.compare(config, workdir, _METHODS.value, _SEEDS.value, vary=_VARY.value, allow_config_change=change)
        else:
            loop.train(config, workdir, allow_config_change=change)
    except loop.Stopped as stopped:
        return int(stopped.code)
    except hosts.Lost as lost:
        os._exit(lost.code)  # leaving in good order would wait for the process that is gone
    if hosts.first():
        print(f"workdir: {workdir}", flush=True)
    return 0


def _new_workdir() -> pathlib.Path:
    config_file = (_value_of("config", sys.argv) or "run").split(":")[0]
    return pathlib.Path("runs") / f"{pathlib.Path(config_file).stem}-{time.strftime('%Y%m%d-%H%M%S')}"


if __name__ == "__main__":
    sys.exit(main(sys.argv))
