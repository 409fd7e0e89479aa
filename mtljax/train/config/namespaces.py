"""What call-strings may name: functions and classes of a module, by their names."""

from collections.abc import Callable
from typing import Any


def functions(module: Any, names: tuple[str, ...]) -> dict[str, Callable]:
    """Some functions of a module, by their names."""
    return {name: getattr(module, name) for name in names}


def public(module: Any) -> dict[str, Any]:
    """The classes and functions that a module exports, or defines itself."""
    return {
        name: value
        for name, value in vars(module).items()
        if name in getattr(module, "__all__", ())
        or (not name.startswith("_") and getattr(value, "__module__", None) == module.__name__)
    }


def factories(module: Any, returning: type) -> dict[str, Callable]:
    """The exported functions annotated to return a type, but for those that make one of a rule."""
    found = {name: getattr(module, name) for name in module.__all__}
    return {
        name: f
        for name, f in found.items()
        if getattr(f, "__annotations__", {}).get("return") is returning and "rule" not in f.__annotations__
    }
