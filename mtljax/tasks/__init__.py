"""Tasks: each public module here holds one, as a factory of the module's name. Nothing else lists them."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

from mtljax.tasks._delta import delta_m
from mtljax.tasks.task import Metric, Task

FACTORIES: dict[str, Callable[..., Task]] = {
    module.name: getattr(importlib.import_module(f"{__name__}.{module.name}"), module.name)
    for module in pkgutil.iter_modules(__path__)
    if not module.name.startswith("_") and module.name != "task"
}
globals().update(FACTORIES)


def __getattr__(name: str) -> Any:  # For type checkers, which cannot see the discovery.
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["FACTORIES", "Metric", "Task", "delta_m", *FACTORIES]
