"""Functions of the user's own in a call-string: `'my_module:my_set(path="...")'`, a module on the path and a function.

This imports the module, and so runs the user's code. Nothing else in a call-string is imported.
"""

import ast
import importlib
import pkgutil
import re
import sys
from collections.abc import Callable
from typing import Any

from mtljax.errors import UserError, nearest, place_of, unknown

# In the place of `:` and `.`, they make one identifier of Python of a module and a function. No keyboard has them.
_COLON, _DOT = "\N{MODIFIER LETTER TRIANGULAR COLON}", "\N{MIDDLE DOT}"
_THERE, _BACK = str.maketrans(":.", _COLON + _DOT), str.maketrans(_COLON + _DOT, ":.")
_NAME = r"[^\W\d]\w*"
_PART = re.compile(
    rf"""(?P<string>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")"""
    rf"""|(?P<own>(?<![\w.]){_NAME}(?:\.{_NAME})*:{_NAME})|[()\[\]{{}},:]"""
)


def as_identifiers(text: str) -> str:
    """A call-string in which each `module.path:function` is one identifier of Python; `as_written` takes it back.

    That is a colon between names, with no blank beside it. The colon after the key of a dict is none of these.

    Example:
        >>> as_written(as_identifiers("mix(a.b:c(x='d:e'), {f:g})"))
        "mix(a.b:c(x='d:e'), {f:g})"
        >>> as_identifiers("mix(a:c())").isidentifier(), as_identifiers("a.b:c").isidentifier()
        (False, True)
        >>> as_identifiers("mix('a:c', {f:g})")
        "mix('a:c', {f:g})"
    """
    brackets = [""]  # that are open; `{:` is one whose key has had its colon

    def replaced(part: re.Match) -> str:
        found = part[0]
        if part["own"]:
            if brackets[-1] != "{":
                return found.translate(_THERE)
            brackets[-1] = "{:"
        elif found == ":" and brackets[-1] == "{":
            brackets[-1] = "{:"
        elif found == "," and brackets[-1] == "{:":
            brackets[-1] = "{"
        elif found in "([{":
            brackets.append(found)
        elif found in ")]}" and len(brackets) > 1:
            brackets.pop()
        return found

    return _PART.sub(replaced, text) if ":" in text else text


def as_written(text: str) -> str:
    """What `as_identifiers` was given."""
    return text.translate(_BACK)


def parse(text: str) -> ast.expr:
    """The expression of a call-string, its names as `as_identifiers` makes them.

    Raises:
        SyntaxError, ValueError or MemoryError: for what is none.
    """
    return ast.parse(as_identifiers(text.strip()), mode="eval").body


def names_in(text: str) -> set[str]:
    """The names that stand in a call-string, as they are written.

    Example:
        >>> sorted(names_in("chain(clip(1.0), my.rules:decayed(steps, 'a:b'))"))
        ['chain', 'clip', 'my.rules:decayed', 'steps']
    """
    return {as_written(node.id) for node in ast.walk(parse(text)) if isinstance(node, ast.Name)}


def is_own(name: str) -> bool:
    """Whether a name is that of a function of the user's own, `module:function`."""
    return ":" in name


def find(name: str) -> Callable[..., Any]:
    """The function that `module:function` names; the module is imported.

    Raises:
        UserError: where there is no such module, it cannot be imported, it has no such function, or that is none.

    Example:
        >>> find("math:sqrt")(4)
        2.0
        >>> find("math:sqrtt")
        Traceback (most recent call last):
        mtljax.errors.UserError: unknown function of module 'math': 'sqrtt'; did you mean 'sqrt'? Known: acos, ...
    """
    module_name, _, function_name = name.partition(":")
    module = _imported(module_name)
    if not hasattr(module, function_name):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise unknown(f"function of module {module_name!r}:", function_name, known)
    function = getattr(module, function_name)
    if not callable(function):
        raise UserError(f"{name} is no function, but a value of type {type(function).__name__}")
    return function


def _told(error: BaseException) -> str:
    """With the line of the user's code; Python tells that of a text that is none itself."""
    place = None if isinstance(error, SyntaxError) else place_of(error)
    return f"{type(error).__name__}: {error}{f' ({place})' if place else ''}"


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # of whatever kind: it is the user's code
        lacking = error.name if isinstance(error, ModuleNotFoundError) else None
        if lacking is None or not f"{name}.".startswith(f"{lacking}."):
            raise UserError(f"module {name!r} cannot be imported: {_told(error)}") from error
    package, _, last = lacking.rpartition(".")
    folders = getattr(sys.modules.get(package), "__path__", None if not package else ())
    near = nearest(last, [module.name for module in pkgutil.iter_modules(folders)])
    meant = f"; did you mean {f'{package}.{near}' if package else near!r}?" if near else "."
    raise UserError(f"there is no module {lacking!r} on Python's path{meant} PYTHONPATH adds folders to it")
