"""What `--help` prints: the modes and flags; or, with a config, its keys and what may stand there."""

import ast
import inspect
import io
import pathlib
import textwrap
import tokenize
from collections.abc import Iterator

import ml_collections
from absl import flags as absl_flags

from mtljax import defaults
from mtljax.command import flags, parsing

_WIDTH, _COLUMNS = 26, 120
_LISTED = {  # config key -> the word that --list takes for what may stand there
    "data": "data", "augment": "augmentations", "model": "models", "tasks": "tasks", "balance": "balancers",
    "optimizers": "optimizers",
}  # fmt: skip


def of_flags() -> str:
    """The modes with their flags."""
    lines = [
        "Trains several tasks on one model; compares ways to do it; evaluates and shows what came out.",
        "",
        "  --config quickstart                          train",
        "  --config quickstart --help                   the keys of a config, and what may stand there",
        "  --config quickstart --config.balance='famo()'",
        "  --list=balancers                             what there is, a line each",
        "  --mode=eval --workdir runs/a",
        "",
        "modes:",
        *(_line(f"--mode={mode}", text) for mode, text in flags.MODES.items()),
        "",
        "flags:",
        *map(_flag, flags.SHARED),
    ]
    for modes, them in flags.ONLY_WITH.items():
        lines += ["", " or ".join(f"--mode={mode}" for mode in modes) + ":", *map(_flag, them)]
    lines += ["", *textwrap.wrap(f"configs that are shipped: {', '.join(parsing.shipped_configs())}", _COLUMNS)]
    return "\n".join(lines)


def of_config(file: pathlib.Path) -> str:
    """The page of a config file: what it says of itself, then its keys, their values, and what may stand there.

    Raises:
        UserError: where it cannot be read.
    """
    flags.GIVEN[:] = ["", f"--config={file}"]
    absl_flags.FLAGS(flags.GIVEN)
    config = flags.CONFIG.value
    described = meanings()
    said = ast.get_docstring(ast.parse(file.read_text())) or ""
    lines = [said, "", "keys, as --config.key=value; what each is now, and what it means:"]
    for key, value in config.items():
        told = " ".join([described.get(key, ""), *([f"(--list={_LISTED[key]})"] if key in _LISTED else [])]).strip()
        if isinstance(value, ml_collections.ConfigDict):
            lines.append(f"  {key}: {told}")
            lines += [f"    {key}.{name} = {text!r}" for name, text in value.items()]
        else:
            lines.append(_line(f"{key} = {value!r}", told))
    return "\n".join(lines)


def meanings() -> dict[str, str]:
    """What each key of a config means: the comment that stands beside its default.

    Example:
        >>> meanings()["init_from"]
        'workdir of a run whose parameters are taken where their names are the same'
    """
    return dict(_comments(inspect.getsource(defaults)))


def _comments(source: str) -> Iterator[tuple[str, str]]:
    """The first string of each line that has a comment, with the comment."""
    key: str | None = None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.STRING and key is None:
            key = ast.literal_eval(token.string)
        elif token.type == tokenize.COMMENT and key is not None:
            yield key, token.string.lstrip("# ")
        elif token.type in (tokenize.NL, tokenize.NEWLINE):
            key = None


def _flag(flag: absl_flags.FlagHolder) -> str:
    return _line(f"--{flag.name}", str(absl_flags.FLAGS[flag.name].help))


def _line(name: str, text: str) -> str:
    """A name and what is said of it, beside it or, where the name is long, below."""
    beside = textwrap.wrap(text, _COLUMNS - _WIDTH - 4)
    if len(name) > _WIDTH:
        return "\n".join([f"  {name}", *(f"{'':<{_WIDTH + 4}}{line}" for line in beside)])
    first, *rest = beside or [""]
    return "\n".join([f"  {name:<{_WIDTH}}  {first}".rstrip(), *(f"{'':<{_WIDTH + 4}}{line}" for line in rest)])
