"""Figures that are drawn once: while what they show stays the same, the files of an earlier report are taken."""

import contextlib
import contextvars
import dataclasses
import functools
import hashlib
import importlib.metadata
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ParamSpec

import numpy as np

from mtljax.report.drawing.figures import Drawn

_P = ParamSpec("_P")
_folder: contextvars.ContextVar[pathlib.Path | None] = contextvars.ContextVar("folder of figures", default=None)
_MARK = "<!-- drawn from {} -->"


@contextlib.contextmanager
def figures_in(folder: pathlib.Path) -> Iterator[None]:
    """Takes figures from a folder where they are there, and drawn from the same by the same code."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def kept(draw: Callable[_P, Drawn]) -> Callable[_P, Drawn]:
    """A function that draws, with its figures kept; its first argument is the figure's name."""

    @functools.wraps(draw)
    def drawn(*args: _P.args, **kwargs: _P.kwargs) -> Drawn:
        folder = _folder.get()
        if folder is None:
            return draw(*args, **kwargs)
        mark = _MARK.format(_digest([draw.__name__, _code(), args, kwargs]))
        name = str(args[0])
        with contextlib.suppress(OSError):
            svg = (folder / f"{name}.svg").read_text()
            if svg.rstrip().endswith(mark):
                return Drawn(name, str(kwargs.get("alt", "")), svg, (folder / f"{name}.png").read_bytes())
        made = draw(*args, **kwargs)
        return dataclasses.replace(made, svg=f"{made.svg.rstrip()}\n{mark}\n")

    return drawn


@functools.cache
def _code() -> str:
    """A digest of what draws."""
    here = pathlib.Path(__file__).parent
    return importlib.metadata.version("matplotlib") + "".join(
        _digest((here / f"{name}.py").read_text()) for name in ("figures", "charts")
    )


def _digest(value: Any) -> str:
    found = hashlib.sha256()
    _add(found, value)
    return found.hexdigest()[:32]


def _add(found: Any, value: Any) -> None:
    if isinstance(value, np.ndarray):
        found.update(f"{value.shape}{value.dtype}".encode() + value.tobytes())
    elif dataclasses.is_dataclass(value):
        _add(found, [getattr(value, field.name) for field in dataclasses.fields(value)])
    elif isinstance(value, Mapping):
        _add(found, list(value.items()))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        found.update(f"[{len(value)}".encode())
        for one in value:
            _add(found, one)
    else:
        found.update(f"{type(value).__name__} {value!r};".encode())
