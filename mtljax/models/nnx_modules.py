"""Modules of Flax NNX in the place of Linen ones, by Flax's own bridge `nnx.bridge.to_linen`."""

import dataclasses
import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
from flax import core


def is_to_linen(part: Any) -> bool:
    """Whether a module is one of NNX that `nnx.bridge.to_linen` has made one of Linen."""
    return _nnx() is not None and isinstance(part, _nnx().bridge.ToLinen)


def is_bare(part: Any) -> bool:
    """Whether something is a module of NNX itself, an object or a class."""
    if _nnx() is None:
        return False
    return isinstance(part, _nnx().Module) or (isinstance(part, type) and issubclass(part, _nnx().Module))


def adopted(module: Any) -> nn.Module:
    """A module of `to_linen` whose variables are plain arrays under texts, and that one random key is enough to make.

    Checkpoints know no numbers as names, such as those in an `nnx.List`. Parameters are drawn from the stream `params`,
    as they are without us; dropout asks for a stream of its own as soon as it is made, where Linen has none yet.
    """
    if isinstance(module, _class()):
        return module
    fields = {field.name: getattr(module, field.name) for field in dataclasses.fields(module) if field.init}
    return _class()(**fields | {"nnx_class": _Made(module.nnx_class), "metadata_fn": None})


@functools.cache
def _class() -> Any:
    """The class of what is adopted; it is made where NNX is around, which takes long to import."""

    class FromNNX(_nnx().bridge.ToLinen):
        @property
        def variables(self) -> Any:
            return _renamed(core.unfreeze(super().variables), lambda name: int(name) if name.isdecimal() else name)

        @nn.nowrap
        def put_variable(self, col: str, name: Any, value: Any) -> None:
            super().put_variable(col, str(name), _renamed(value, str))

    return FromNNX


def _renamed(tree: Any, name: Callable[[Any], Any]) -> Any:
    """A tree of dicts with other keys."""
    return {name(key): _renamed(value, name) for key, value in tree.items()} if isinstance(tree, Mapping) else tree


def parameters_of(module: Any) -> Mapping[str, inspect.Parameter]:
    """The parameters of the call of the NNX module within."""
    made = module.nnx_class.made if isinstance(module.nnx_class, _Made) else module.nnx_class
    return inspect.signature(made.__call__).parameters if isinstance(made, type) else {}


def in_mode(train: bool) -> Callable[..., Any]:
    """A method for `nnx_method`: the call of a module that is told by `train()` or `eval()` what it is for."""

    def called(module: Any, *inputs: Any, **context: Any) -> Any:
        if train:
            module.train()
        else:
            module.eval()
        return module(*inputs, **context)

    return called


class _Made:
    """Makes a module of NNX, from random streams among which there is one for all purposes."""

    def __init__(self, made: Callable[..., Any]) -> None:
        self.made = made

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        rngs = kwargs.get("rngs")
        if rngs is not None and "default" not in rngs:
            rngs.default = _nnx().Rngs(0).default
        return self.made(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Made) and other.made == self.made

    def __hash__(self) -> int:
        return hash(self.made)


def _nnx() -> Any:
    """The package, where anything of it can be around."""
    return sys.modules.get("flax.nnx")
