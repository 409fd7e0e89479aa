"""Call-strings: `'cagrad(c=0.4)'`, `'adamw(cosine_decay_schedule(1e-3, steps))'`, `'ResNet(depth=18)'`.

A call-string is parsed, never evaluated: names are looked up in the namespace given, and called with the constants,
lists, dicts, simple arithmetic and nested calls that stand in the text.
"""

import ast
import inspect
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mtljax.errors import UserError, unknown

_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


def resolve(
    text: str,
    namespace: Mapping[str, Any],
    *,
    kind: str,
    inject: Mapping[str, Any] | None = None,
    nested: Mapping[str, Any] | None = None,
) -> Any:
    """Calls what a call-string names.

    Args:
        text: the call-string; a bare name is a call without arguments.
        namespace: the names that the outermost call may have.
        kind: what is named, for messages: `balancer`, `optimiser`, ...
        inject: arguments given to every call, nested ones too, whose signature names them and that the text
            does not give.
        nested: further names that may stand inside.

    Returns:
        What the outermost call returned.

    Raises:
        UserError: for text that is no call-string, an unknown name or argument, a missing argument, or what the
            called function refuses.

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
    try:
        expression = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise UserError(f"{kind} {text!r} is not a call-string such as 'name(argument=1)'.") from None
    names = dict(nested or {}) | dict(namespace)
    resolver = _Resolver(text, kind, names, dict(inject or {}))
    outermost = expression.func if isinstance(expression, ast.Call) else expression
    if not isinstance(outermost, ast.Name):
        raise resolver.refused(expression)
    if outermost.id not in namespace:
        raise unknown(kind, outermost.id, namespace)
    if isinstance(expression, ast.Call):
        return resolver.value(expression)
    return resolver.called(outermost.id, (), {})


class _Resolver:
    def __init__(self, text: str, kind: str, names: Mapping[str, Any], inject: Mapping[str, Any]) -> None:
        self._text, self._kind, self._names, self._inject = text, kind, names, inject

    def value(self, node: ast.AST) -> Any:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None):
                return node.value
            case ast.Tuple(elts=elements):
                return tuple(map(self.value, elements))
            case ast.List(elts=elements):
                return list(map(self.value, elements))
            case ast.Dict(keys=keys, values=values) if None not in keys:
                return dict(zip(map(self.value, keys), map(self.value, values), strict=True))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._number(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                try:
                    return _ARITHMETIC[type(op)](self._number(left), self._number(right))
                except ZeroDivisionError:
                    raise self._error("divides by zero") from None
            case ast.Name(id=name):
                return self._named(name)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if all(k.arg for k in keywords):
                names = [k.arg for k in keywords]
                for repeated in (n for n in names if names.count(n) > 1):
                    raise self._error(f"{name}() is given {repeated!r} twice")
                return self.called(name, tuple(map(self.value, args)), {k.arg: self.value(k.value) for k in keywords})
        raise self.refused(node)

    def refused(self, node: ast.AST) -> UserError:
        part = ast.unparse(node)
        where = "" if part == self._text.strip() else f": {part!r}"
        return self._error(f"may hold calls of known names, numbers, strings, lists and dicts, and nothing else{where}")

    def called(self, name: str, args: tuple, kwargs: dict[str, Any]) -> Any:
        function = self._named(name)
        if not callable(function):
            raise self._error(f"calls {name!r}, which is a value, not a function")
        try:
            signature = inspect.signature(function)
        except ValueError:
            signature = None
        if signature is not None:
            args, kwargs = self._bound(name, signature, args, kwargs)
        try:
            return function(*args, **kwargs)
        except UserError:
            raise
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            raise self._error(str(error)) from error

    def _bound(
        self, name: str, signature: inspect.Signature, args: tuple, kwargs: dict[str, Any]
    ) -> tuple[tuple, dict[str, Any]]:
        """The arguments with the injected ones among them; positions count without those that only we can give."""
        parameters = signature.parameters.values()
        named = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            for key in kwargs:
                if key not in named:
                    raise unknown(f"argument of {name}() in {self._kind} {self._text!r}:", key, _public(named))
        injected = {k: v for k, v in self._inject.items() if k in named}
        if injected and args:
            theirs = [k for k, p in named.items() if k not in injected or p.default is not p.empty]
            if len(args) > len(theirs):
                raise self._error(f"{name}() takes at most {len(theirs)} arguments ({', '.join(_public(theirs))})")
            repeated = set(theirs[: len(args)]) & set(kwargs)
            if repeated:
                raise self._error(f"{name}() is given {repeated.pop()!r} twice")
            args, kwargs = (), dict(zip(theirs, args, strict=False)) | kwargs
        kwargs = injected | kwargs
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise self._error(f"{name}(): {error}; its arguments are {', '.join(_public(named))}") from None
        return args, kwargs

    def _named(self, name: str) -> Any:
        if name not in self._names:
            raise unknown(f"name in {self._kind} {self._text!r}:", name, self._names)
        return self._names[name]

    def _number(self, node: ast.AST) -> float:
        value = self.value(node)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.refused(node)
        return value

    def _error(self, message: str) -> UserError:
        return UserError(f"{self._kind} {self._text!r}: {message}.".replace("..", "."))


def _public(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith("_")]
