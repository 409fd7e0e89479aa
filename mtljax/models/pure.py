"""Any pure `init`/`apply` pair as a Flax Linen module, and calls that pass on only what a module asks for."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn

from mtljax.models import nnx_modules


class Pure(nn.Module):
    """A pure pair as a Linen module: its parameters become this module's `params["pair"]`.

    Attributes:
        init_fn: `(key, *inputs) -> params`, a pytree of arrays.
        apply_fn: `(params, *inputs, **context) -> output`; the context is what its signature names.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> double = Pure(lambda key, x: {"scale": jnp.full((), 2.0)}, lambda params, x: params["scale"] * x)
        >>> variables = double.init(jax.random.key(0), jnp.ones(3))
        >>> print(double.apply(variables, jnp.ones(3)))
        [2. 2. 2.]
    """

    init_fn: Callable[..., Any]
    apply_fn: Callable[..., Any]

    @nn.compact
    def __call__(self, *inputs: Any, **context: Any) -> Any:
        """Applies the pair to `inputs`."""
        params = self.param("pair", lambda key: self.init_fn(key, *inputs))
        return self.apply_fn(params, *inputs, **context)


def as_module(part: Any, where: str) -> nn.Module:
    """A Linen module as it is; a pure pair (an object with `init` and `apply`, or a tuple of the two) wrapped.

    One of NNX is to come as `nnx.bridge.to_linen(Net, 3, width=8)`.

    Raises:
        TypeError: where `part` is none of these.
    """
    if nnx_modules.is_bare(part):
        name = part.__name__ if isinstance(part, type) else type(part).__name__
        raise TypeError(
            f"{where} is of NNX: {name}; expected it as Linen knows it, `nnx.bridge.to_linen({name}, ...)`, with the "
            "arguments that it is made with, but for `rngs`."
        )
    if nnx_modules.is_to_linen(part):
        return nnx_modules.adopted(part)
    if isinstance(part, nn.Module):
        return part
    if isinstance(part, tuple) and len(part) == 2 and all(callable(f) for f in part):
        return Pure(*part)
    init, apply = getattr(part, "init", None), getattr(part, "apply", None)
    if not isinstance(part, type) and callable(init) and callable(apply):
        return Pure(init, apply)
    raise TypeError(
        f"{where} is {part!r}; expected a Flax Linen module, an object with pure `init` and `apply`, "
        "or a tuple (init, apply)."
    )


def asks_for(module: Callable[..., Any], keyword: str) -> bool:
    """Whether the signature of a module, or of a function, names `keyword`, or takes `**kwargs`."""
    parameters = _parameters(module)
    return keyword in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def names(module: Callable[..., Any], keyword: str) -> bool:
    """Whether the signature of a module, or of a function, names `keyword`; `**kwargs` is no name."""
    return keyword in _parameters(module)


def call(module: nn.Module, *inputs: Any, **context: Any) -> Any:
    """Calls `module` with those keywords of `context` that it asks for.

    `train` reaches it under the other names that there are for it too: `training`, `is_training`, and as the opposite
    `deterministic` and `use_running_average`, be they named by its signature or attributes of it. An attribute that was
    given another value than its default is left as it is: so layers are frozen. A module of NNX that takes none of
    these is told by its `train()` and `eval()`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> half = nn.Dropout(0.5)  # has an attribute `deterministic`, and a keyword of that name
        >>> class Twice(nn.Module):
        ...     half: nn.Module
        ...     def __call__(self, x, train):
        ...         return call(self.half, x, train=train), call(self.half, x, train=False)
        >>> once, never = Twice(half).apply({}, jnp.ones(100), True, rngs={"dropout": jax.random.key(0)})
        >>> int(once.max()), int(never.max())
        (2, 1)
    """
    given = {key: value for key, value in context.items() if asks_for(module, key)}
    if nnx_modules.is_to_linen(module) and "train" in context and not _MODES.keys() & _parameters(module).keys():
        given["nnx_method"] = nnx_modules.in_mode(bool(context["train"]))
        return module(*inputs, **given)
    attributes: dict[str, bool] = {}
    for name, when in _MODES.items() if "train" in context else ():
        mode = bool(context["train"]) == when
        if name in _parameters(module) and not _is_set(module, name):
            given[name] = mode
        elif _is_open(module, name):
            attributes[name] = mode
            given.pop(name, None)
        elif _is_set(module, name):
            given.pop(name, None)
    return _with(module, attributes, lambda: module(*inputs, **given))


_MODES = {"train": True, "training": True, "is_training": True, "deterministic": False, "use_running_average": False}


def _parameters(module: Any) -> Mapping[str, inspect.Parameter]:
    """The parameters of the function that keywords of a call end up at."""
    if isinstance(module, nn.Sequential):  # It passes them on to its first layer.
        return _parameters(module.layers[0]) if module.layers else {}
    if isinstance(module, Pure):
        module = module.apply_fn
    elif nnx_modules.is_to_linen(module):
        return nnx_modules.parameters_of(module)
    elif isinstance(module, nn.Module):
        module = type(module).__call__
    try:
        return inspect.signature(module).parameters
    except ValueError:  # Some of NumPy's functions have none.
        return {}


def _is_set(module: Any, name: str) -> bool:
    """Whether an attribute has a value that a keyword of the same name, which is None by default, must not have too."""
    parameter = _parameters(module).get(name)
    return getattr(module, name, None) is not None and parameter is not None and parameter.default is None


def _is_open(module: Any, name: str) -> bool:
    """Whether a module has the attribute and it was left to the model that the module is a part of."""
    for field in dataclasses.fields(module):
        if field.name == name:
            value = getattr(module, name)
            return value is None or field.default is dataclasses.MISSING or value == field.default
    return False


def _with(module: Any, attributes: Mapping[str, bool], function: Callable[[], Any]) -> Any:
    """What a function gives while a module, which `apply` has made for this call, has other attributes."""
    before = {name: getattr(module, name) for name in attributes}
    for name, value in attributes.items():
        object.__setattr__(module, name, value)
    try:
        return function()
    finally:
        for name, value in before.items():
            object.__setattr__(module, name, value)
