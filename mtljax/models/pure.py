"""Any pure `init`/`apply` pair as a Flax Linen module, and calls that pass on only what a module asks for."""

import inspect
from collections.abc import Callable
from typing import Any

import flax.linen as nn


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

    Raises:
        TypeError: where `part` is neither.
    """
    if isinstance(part, nn.Module):
        return part
    if isinstance(part, tuple) and len(part) == 2 and all(callable(f) for f in part):
        return Pure(*part)
    if not isinstance(part, type) and callable(getattr(part, "init", None)) and callable(getattr(part, "apply", None)):
        return Pure(part.init, part.apply)
    raise TypeError(
        f"{where} is {part!r}; expected a Flax Linen module, an object with pure `init` and `apply`, "
        "or a tuple (init, apply)."
    )


def asks_for(module: nn.Module, keyword: str) -> bool:
    """Whether the module's signature names `keyword`, or takes `**kwargs`."""
    function = module.apply_fn if isinstance(module, Pure) else type(module).__call__
    parameters = inspect.signature(function).parameters
    return keyword in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def call(module: nn.Module, *inputs: Any, **context: Any) -> Any:
    """Calls `module` with those keywords of `context` that it asks for."""
    return module(*inputs, **{k: v for k, v in context.items() if asks_for(module, k)})
