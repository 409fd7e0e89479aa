"""From the words of a command line to its flags and its config."""

import pathlib
import re
from collections.abc import Sequence

import ml_collections
from absl import flags

from mtljax.command import flags as ours
from mtljax.errors import UserError, causes, nearest, place_of, told, unknown

SHIPPED = pathlib.Path(__file__).parent.parent / "configs"


def parsed(arguments: Sequence[str]) -> ml_collections.ConfigDict:
    """Reads flags; gives the config, an empty one where none is needed.

    Raises:
        UserError or flags.Error: for an unknown flag or key, a value that a flag cannot have, or a config file that is
            not there or cannot be read.
    """
    needless = value_of("mode", arguments) == "report" or is_given("worker", arguments)
    if not is_given("config", arguments) and not needless:
        # A run can be evaluated or repeated from its workdir alone.
        workdir = value_of("workdir", arguments)
        if workdir is None:
            raise UserError("give --config, such as --config quickstart, or the --workdir of a run; --help tells more.")
        arguments = [arguments[0], f"--config={_from_workdir()}:{workdir}", *arguments[1:]]
    elif is_given("config", arguments):
        arguments = _with_config_file(arguments)
    from mtljax.train.config import own_folders, task_flags

    ours.GIVEN[:], edits = task_flags.taken_out(arguments)
    try:
        rest = flags.FLAGS(ours.GIVEN)
        config = ours.CONFIG.value if is_given("config", arguments) else ml_collections.ConfigDict()
        getattr(config, "keys", None)  # A file that could not be read fails here, not above.
    except Exception as error:  # of whatever kind: it may be of the user's code
        raise readable(error) from error
    if not isinstance(config, ml_collections.ConfigDict):
        file = str(value_of("config", arguments)).split(":")[0]
        raise UserError(f"get_config() of {file!r} gives {type(config).__name__}; expected a ConfigDict.")
    task_flags.edit(config, edits)
    own_folders.remember(config, pathlib.Path(str(value_of("config", arguments)).split(":")[0]).parent)
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}; every choice is a flag, such as --config.steps=100.")
    return config


def config_file(name: str) -> pathlib.Path:
    """The config file of a name: that of a path, else the shipped one.

    Raises:
        UserError: where there is none, with the nearest.

    Example:
        >>> config_file("quickstart").name
        'quickstart.py'
        >>> config_file("quickstrat")
        Traceback (most recent call last):
        mtljax.errors.UserError: unknown config file 'quickstrat'; did you mean 'quickstart'? Known: ...
    """
    file = pathlib.Path(name)
    if file.is_file():
        return file
    if file.parent.name in ("", "configs") and (shipped := SHIPPED / f"{file.stem}.py").is_file():
        return shipped
    near = {str(path) for path in file.parent.glob("*.py")} if file.suffix == ".py" else set()
    raise unknown("config file", name, near or shipped_configs())


def shipped_configs() -> list[str]:
    """The names of the config files that come with the package."""
    return sorted(file.stem for file in SHIPPED.glob("*.py"))


def is_given(flag: str, arguments: Sequence[str]) -> bool:
    """Whether a flag stands on a command line, before it is parsed."""
    return any(argument.split("=")[0] in (f"--{flag}", f"-{flag}") for argument in arguments)


def value_of(flag: str, arguments: Sequence[str]) -> str | None:
    """The value of a flag on a command line, before it is parsed.

    Example:
        >>> value_of("mode", ["launch.py", "--mode=eval"]), value_of("mode", ["launch.py", "--mode", "eval"])
        ('eval', 'eval')
    """
    for argument, following in zip(arguments, [*arguments[1:], None], strict=True):
        name, equals, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name == flag:
            return value if equals else following
    return None


def readable(error: BaseException) -> Exception:
    """What stands behind an error of config_flags, which wraps errors and prints whole tracebacks into messages."""
    origin, *after = causes(error)
    told_already = [one for one in (origin, *after) if isinstance(one, UserError) and "Traceback" not in str(one)]
    if told_already:
        return told_already[-1]  # which says what those before it say
    if place_of(origin):
        return UserError(f"the config's own code: {told(origin)}")
    if near := re.search(r'Did you mean "(.*)" instead of "(.*)"', str(error)):
        return UserError(f"unknown config key {near[2]!r}; did you mean {near[1]!r}?")
    if isinstance(error, flags.UnrecognizedFlagError):
        near = nearest(f"--{error.flagname}", _flag_names())
        hint = f"; did you mean {near!r}?" if near else "."
        return UserError(f"unknown flag '--{error.flagname}'{hint} --help lists them all.")
    if "has no attribute 'get_config'" in str(origin):
        return UserError("the config file has no function get_config(), which gives a ConfigDict.")
    if isinstance(error, KeyError | AttributeError):
        return UserError(f"unknown config key: {error.args[0]}")
    return UserError(str(error).strip().splitlines()[-1].strip())


def _flag_names() -> list[str]:
    """Our flags, and those that the keys of a config make."""
    own = [flag.name for group in (ours.SHARED, *ours.ONLY_WITH.values()) for flag in group]
    keys = [] if ours.CONFIG.value is None else list(ours.CONFIG.value.keys())
    return [f"--{name}" for name in own] + [f"--config.{key}" for key in keys]


def _with_config_file(arguments: Sequence[str]) -> list[str]:
    """The command line with the path of the config file for its name; what stands after a colon is the file's."""
    name, colon, rest = str(value_of("config", arguments)).partition(":")
    found = f"--config={config_file(name)}{colon}{rest}"
    kept, skipped = [], False
    for argument in arguments:
        if skipped:
            skipped = False
        elif argument in ("--config", "-config"):
            skipped = True
        elif argument.split("=")[0] not in ("--config", "-config"):
            kept.append(argument)
    return [kept[0], found, *kept[1:]]


def _from_workdir() -> str:
    """The config file that takes a workdir and gives the config in it."""
    from mtljax.train.run import config_file

    return config_file.__file__
