"""Tasks: a module of a room below that holds a factory of its own name is one. Nothing else lists them.

A factory gives a task, or a tuple of them: one for each of several losses.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any, cast

from mtljax.delta import delta_m
from mtljax.tasks.task import Metric, Task

ROOMS = ("scene", "objects", "self_supervision", "consistency", "values")
Factory = Callable[..., Task | tuple[Task, ...]]


def _factories() -> Iterator[tuple[str, Factory]]:
    for room in ROOMS:
        place = importlib.import_module(f"{__name__}.{room}")
        for found in pkgutil.iter_modules(place.__path__):
            function = getattr(importlib.import_module(f"{place.__name__}.{found.name}"), found.name, None)
            if getattr(function, "__annotations__", {}).get("return") in (Task, tuple[Task, ...]):
                yield found.name, cast(Factory, function)


FACTORIES: dict[str, Factory] = dict(sorted(_factories()))
__all__ = ["FACTORIES", "Metric", "Task", "delta_m"]
globals().update(FACTORIES, __all__=[*__all__, *FACTORIES])


def __getattr__(name: str) -> Any:  # For type checkers, which cannot see the discovery.
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
