"""Modules of Flax NNX in the place of Linen ones, by Flax's own bridge `nnx.bridge.to_linen`."""

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn


def is_to_linen(part: Any) -> bool:
    """Whether a module is one of NNX that `nnx.bridge.to_linen` has made one of Linen."""
    return _nnx() is not None and isinstance(part, _nnx().bridge.ToLinen)


def is_bare(part: Any) -> bool:
    """Whether something is a module of NNX itself, an object or a class."""
    if _nnx() is None:
        return False
    return isinstance(part, _nnx().Module) or (isinstance(part, type) and issubclass(part, _nnx().Module))


def adopted(module: Any) -> nn.Module:
    """A module of `to_linen` whose variables are plain arrays, and that can be made with one key for all its streams.

    Its parameters are drawn from the stream `params`, as they are without us. Dropout asks for a stream of its own as
    soon as it is made, which Linen has none of before training.
    """
    if isinstance(module.nnx_class, _Made):
        return module
    return module.clone(nnx_class=_Made(module.nnx_class), metadata_fn=None)


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
