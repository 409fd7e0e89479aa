"""Call-strings: `'cagrad(c=0.4)'`, `'adamw(cosine_decay_schedule(1e-3, steps))'`, `'ResNet(depth=18)'`.

A call-string is parsed, never evaluated: names are looked up in the namespace given, and called with the constants,
lists, dicts, simple arithmetic, types (`float`, `str`) and nested calls that stand in the text. A function of the
user's own is named with its module, `'my_module:my_balancer(0.5)'`; see `own`.
"""

import ast
import inspect
import operator
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mtljax.errors import UserError, told, unknown
from mtljax.train.config import own

_SHOWN = 500  # characters of a text in a message
_TYPES = {"bool": bool, "float": float, "int": int, "str": str}  # what stands for a kind of label: {"age": float}
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}

Check = Callable[[str, Mapping[str, Any]], object]
Wrap = Callable[[str, Any], Any]


def resolve(
    text: str,
    namespace: Mapping[str, Any],
    *,
    kind: str,
    inject: Mapping[str, Any] | None = None,
    nested: Mapping[str, Any] | None = None,
    check: Check | None = None,
    wrap: Wrap | None = None,
    returns: type | tuple[type, ...] | None = None,
) -> Any:
    """Calls what a call-string names.

    Args:
        text: the call-string; a bare name is a call without arguments.
        namespace: the names that the outermost call may have.
        kind: what is named, for messages: `balancer`, `optimiser`, ...
        inject: arguments given to every call, nested ones too, whose signature names them and that the text
            does not give.
        nested: further names that may stand inside.
        check: is shown the name and the arguments, by their names, of every call before it is made; raises `ValueError`
            for what it refuses.
        wrap: is given the name and the function of every call of the user's own, and gives what is called for it.
        returns: what the outermost call must return an instance of; of several, messages name the first.

    Returns:
        What the outermost call returned.

    Raises:
        UserError: for text that is no call-string, an unknown name or argument, a missing argument, a module that is
            not there, or what the called function refuses or fails at. No text raises anything else.

    Example:
        >>> import optax
        >>> schedule = resolve("constant_schedule(1e-3)", vars(optax), kind="schedule")
        >>> schedule(0)
        0.001
        >>> resolve("constant_schedul(1e-3)", {"constant_schedule": optax.constant_schedule}, kind="schedule")
        Traceback (most recent call last):
        mtljax.errors.UserError: unknown schedule 'constant_schedul'; did you mean 'constant_schedule'? Known: ...
    """
    if not isinstance(text, str):
        raise UserError(f"{kind} {text!r}: expected a call-string such as 'name(argument=1)'.")
    resolver = _Resolver(text, kind, dict(nested or {}) | dict(namespace), dict(inject or {}), check, wrap)
    try:
        found = resolver.outermost(namespace)
    except UserError:
        raise
    except RecursionError:
        raise UserError(f"{kind} {_shortened(text)!r} is nested too deeply.") from None
    except Exception as error:  # such as numbers too large for floats, or keys that no dict can have
        raise UserError(f"{kind} {_shortened(text)!r} cannot be read: {told(error)}") from error
    if returns is not None and not isinstance(found, returns):
        wanted = returns[0] if isinstance(returns, tuple) else returns
        raise resolver.error(f"gives something of type {type(found).__name__}; expected {wanted.__name__}")
    return found


class _Resolver:
    def __init__(
        self,
        text: str,
        kind: str,
        names: Mapping[str, Any],
        inject: Mapping[str, Any],
        check: Check | None,
        wrap: Wrap | None,
    ) -> None:
        self._text, self._kind, self._names, self._inject = text, kind, names, inject
        self._check, self._wrap = check, wrap

    def outermost(self, namespace: Mapping[str, Any]) -> Any:
        """The value of the whole text, whose outermost name is one of a namespace."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python's, of odd literals
                expression = own.parse(self._text)
        except (SyntaxError, ValueError, MemoryError):
            raise UserError(
                f"{self._kind} {_shortened(self._text)!r} is not a call-string such as 'name(argument=1)'."
            ) from None
        named = expression.func if isinstance(expression, ast.Call) else expression
        if not isinstance(named, ast.Name):
            raise self._refused(expression)
        name = own.as_written(named.id)
        if not own.is_own(name) and name not in namespace:
            raise unknown(self._kind, name, namespace)
        return self.value(expression) if isinstance(expression, ast.Call) else self.called(name, (), {})

    def value(self, node: ast.AST) -> Any:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None):
                return node.value
            case ast.Tuple(elts=elements):
                return tuple(map(self.value, elements))
            case ast.List(elts=elements):
                return list(map(self.value, elements))
            case ast.Dict(keys=keys, values=values) if None not in keys:
                return self._dict(map(self.value, filter(None, keys)), map(self.value, values))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._number(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return self._computed(_ARITHMETIC[type(op)], self._number(left), self._number(right))
            case ast.Name(id=name) if name in _TYPES and name not in self._names:
                return _TYPES[name]
            case ast.Name(id=name):
                return self._named(own.as_written(name))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if all(k.arg for k in keywords):
                names = [k.arg for k in keywords]
                for repeated in (n for n in names if names.count(n) > 1):
                    raise self.error(f"{own.as_written(name)}() is given {repeated!r} twice")
                given = {k.arg: self.value(k.value) for k in keywords if k.arg}
                return self.called(own.as_written(name), tuple(map(self.value, args)), given)
        raise self._refused(node)

    def _refused(self, node: ast.AST) -> UserError:
        part = own.as_written(ast.unparse(node))
        where = "" if part == self._text.strip() else f": {_shortened(part)!r}"
        return self.error(f"may hold calls of known names, numbers, strings, lists and dicts, and nothing else{where}")

    def called(self, name: str, args: tuple, kwargs: dict[str, Any]) -> Any:
        function = self._named(name)
        if not callable(function):
            raise self.error(f"calls {name!r}, which is a value, not a function")
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):
            signature = None
        if signature is not None:
            args, kwargs = self._bound(name, signature, args, kwargs)
        try:
            if self._check is not None and signature is not None:
                self._check(name, signature.bind(*args, **kwargs).arguments)
            return function(*args, **kwargs)
        except UserError:
            raise
        except Exception as error:
            raise self.error(told(error)) from error

    def _dict(self, keys: Iterable[Any], values: Iterable[Any]) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key, value in zip(keys, values, strict=True):
            try:
                repeated = key in found
            except TypeError:
                raise self.error(f"has the key {key!r} in a dict; expected a string or a number") from None
            if repeated:
                raise self.error(f"gives the key {key!r} of a dict twice")
            found[key] = value
        return found

    def _computed(self, operation: Callable[[Any, Any], Any], left: float, right: float) -> float:
        try:
            return operation(left, right)
        except ZeroDivisionError:
            raise self.error("divides by zero") from None
        except OverflowError:
            raise self.error("has a number that is too large") from None

    def _bound(
        self, name: str, signature: inspect.Signature, args: tuple, kwargs: dict[str, Any]
    ) -> tuple[tuple, dict[str, Any]]:
        """The arguments with the injected ones among them; positions count without those that only we can give."""
        parameters = signature.parameters.values()
        named = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            for key in kwargs:
                if key not in named:
                    where = f"argument of {name}() in {self._kind} {_shortened(self._text)!r}:"
                    raise unknown(where, key, _public(named))
        injected = {k: v for k, v in self._inject.items() if k in named}
        if injected and args:
            theirs = [k for k, p in named.items() if k not in injected or p.default is not p.empty]
            if len(args) > len(theirs):
                raise self.error(f"{name}() takes at most {len(theirs)} arguments ({', '.join(_public(theirs))})")
            repeated = set(theirs[: len(args)]) & set(kwargs)
            if repeated:
                raise self.error(f"{name}() is given {repeated.pop()!r} twice")
            args, kwargs = (), dict(zip(theirs, args, strict=False)) | kwargs
        kwargs = injected | kwargs
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise self.error(f"{name}(): {error}; its arguments are {', '.join(_public(named))}") from None
        return args, kwargs

    def _named(self, name: str) -> Any:
        if own.is_own(name):
            try:
                function = own.find(name)
            except UserError as error:
                raise self.error(str(error)) from error
            return function if self._wrap is None else self._wrap(name, function)
        if name not in self._names:
            raise unknown(f"name in {self._kind} {_shortened(self._text)!r}:", name, self._names)
        return self._names[name]

    def _number(self, node: ast.AST) -> float:
        value = self.value(node)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._refused(node)
        return value

    def error(self, message: str) -> UserError:
        """What is said of the text."""
        return UserError(f"{self._kind} {_shortened(self._text)!r}: {message.removesuffix('.')}.")


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _public(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith("_")]
