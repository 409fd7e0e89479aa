"""The call-string of an object, where it has one: so that what Python was given can be made again from a config."""

import dataclasses
import functools
import importlib
import inspect
import types
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn

_PLAIN = (bool, int, float, str, type(None))
_OF_LINEN = ("parent", "name")  # fields that a module has of its place in another


def is_factory(value: Any) -> bool:
    """Whether a value is to be called for what it makes: a class, a function, or `functools.partial` of one."""
    return isinstance(value, type | types.FunctionType | types.BuiltinFunctionType | functools.partial)


def named(value: Any, known: Mapping[str, Any]) -> str | None:
    """The call-string that makes a value again; None where there is none.

    There is one for a class or a function at the top of a module that can be imported, `functools.partial` of one, and
    a Flax Linen module of such a class, where arguments and attributes are plain values, or such again.

    Args:
        value: what was given.
        known: the names that need no module before them, as `resolve` has them.

    Example:
        >>> import functools, mtljax as mtl, optax
        >>> print(named(mtl.encoders.MLP((4, 8)), {"MLP": mtl.encoders.MLP}))
        MLP(widths=(4, 8))
        >>> print(named(functools.partial(optax.adam, 1e-3), {"adam": optax.adam}), named(lambda: 3, {}))
        adam(0.001) None
    """
    if is_factory(value):
        return _call(value, (), {}, known)
    return _module(value, known) if isinstance(value, nn.Module) else None


def _call(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any], known: Mapping[str, Any]) -> str | None:
    if isinstance(function, functools.partial):
        return _call(function.func, (*function.args, *args), {**function.keywords, **kwargs}, known)
    name = _path(function, known)
    given = [*(_text(a, known) for a in args)]
    given += [text and f"{key}={text}" for key, text in ((k, _text(v, known)) for k, v in kwargs.items())]
    return None if name is None or None in given else f"{name}({', '.join(map(str, given))})"


def _module(value: nn.Module, known: Mapping[str, Any]) -> str | None:
    """A module's class, with the attributes that are not their defaults, or empty."""
    given: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        found = getattr(value, field.name)
        if field.init and field.name not in _OF_LINEN and not is_default(field, found):
            given[field.name] = found
    return _call(type(value), (), given, known)


def is_default(field: dataclasses.Field, value: Any) -> bool:
    """Whether an attribute of a module was left to whoever has the module: its default, or no entries."""
    if field.default is dataclasses.MISSING:
        return isinstance(value, Mapping) and not value  # heads that the tasks are to give
    return value is field.default or (type(value) is type(field.default) and value == field.default)


def _text(value: Any, known: Mapping[str, Any]) -> str | None:
    """A value as it stands in a call-string."""
    if type(value) in _PLAIN:
        return repr(value) if not isinstance(value, float) or value - value == 0 else None
    if isinstance(value, tuple | list) and type(value) in (tuple, list):
        parts = [_text(part, known) for part in value]
        inside = ", ".join(map(str, parts)) + ("," if isinstance(value, tuple) and len(parts) == 1 else "")
        return None if None in parts else f"({inside})" if isinstance(value, tuple) else f"[{inside}]"
    if isinstance(value, Mapping):
        pairs = [(_text(key, known), _text(part, known)) for key, part in value.items()]
        return None if any(None in pair for pair in pairs) else f"{{{', '.join(f'{k}: {v}' for k, v in pairs)}}}"
    if isinstance(value, functools.partial):
        return None  # a function, which a call is not
    return _path(value, known) if is_factory(value) else named(value, known)


def _path(function: Any, known: Mapping[str, Any]) -> str | None:
    """A bare name, or `module:function` of what the module has under that name."""
    name, module = getattr(function, "__qualname__", ""), getattr(function, "__module__", None) or ""
    if known.get(name) is function:
        return name
    if not name.isidentifier() or module in ("", "__main__", "builtins") or any(
        not part.isidentifier() or part.startswith("_") for part in module.split(".")
    ):  # fmt: skip
        return None
    try:
        found = inspect.getattr_static(importlib.import_module(module), name, None)
    except ImportError:  # a notebook's, or one that was made by hand
        return None
    return f"{module}:{name}" if found is function else None
