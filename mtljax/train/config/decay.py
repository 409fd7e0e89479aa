"""What weight decay leaves out: a mask for optax, which a call-string cannot name."""

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from mtljax.errors import UserError
from mtljax.train.config import own

NORMS_AND_BIASES = "norms and biases"
_NAMES = ("bias", "scale")


def decayed(text: str) -> Callable[[Any], Any]:
    """Makes a mask: parameters -> a tree of bools, whether weight decay applies to each.

    Args:
        text: `norms and biases`, which leaves out what is named `bias` or `scale` or has at most one axis; or a regular
            expression that is searched for in the path of a parameter, such as `encoder/stem/kernel`.

    Raises:
        UserError: for a malformed regular expression.

    Example:
        >>> params = {"conv": {"kernel": jnp.ones((3, 3)), "bias": jnp.ones(3)}}
        >>> decayed("norms and biases")(params)
        {'conv': {'bias': False, 'kernel': True}}
        >>> decayed("^conv/")(params)
        {'conv': {'bias': False, 'kernel': False}}
    """
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UserError(f"no_decay={text!r}: {error}; expected {NORMS_AND_BIASES!r} or a regular expression.") from None

    def decays(path: Any, leaf: jax.Array) -> bool:
        names = jax.tree_util.keystr(path, simple=True, separator="/")
        if text == NORMS_AND_BIASES:
            return jnp.ndim(leaf) > 1 and names.rsplit("/", 1)[-1] not in _NAMES
        return pattern.search(names) is None

    return lambda params: jax.tree_util.tree_map_with_path(decays, params)


def check(text: str, params: Any, optimizers: Mapping[str, str]) -> None:
    """Looks whether a mask changes anything.

    Args:
        text: as in `decayed`.
        params: all parameters, or their shapes.
        optimizers: group -> call-string.

    Raises:
        UserError: where no parameter is meant, or no optimiser decays weights by a mask.
    """
    mask = jax.tree_util.tree_leaves_with_path(decayed(text)(params))
    if all(decays for _, decays in mask):
        paths = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in mask]
        raise UserError(f"no_decay={text!r} matches no parameter; there are {', '.join(paths[:8])}, ...")
    named = {name for chain in optimizers.values() for name in own.names_in(chain)}
    able = {name for name, function in vars(optax).items() if callable(function) and _masks(function)}
    if not named & able and not any(own.is_own(name) and _masks(own.find(name)) for name in named):
        raise UserError(
            f"no_decay={text!r}: no optimiser decays weights by a mask; these do: {', '.join(sorted(able))}."
        )


def masking(namespace: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Functions by name; those that decay weights do it with the mask of `text` where the call gives no other."""
    return {name: with_mask(name, value, text) for name, value in namespace.items()}


def with_mask(name: str, function: Any, text: str) -> Any:
    """A function that, where it decays weights, does it with the mask of `text` where the call gives no other."""
    mask = decayed(text)
    parameters = _parameters(function)
    if "weight_decay" not in parameters and not _masks(function):
        return function

    @functools.wraps(function)
    def made(*args: Any, **kwargs: Any) -> Any:
        given = inspect.signature(function).bind(*args, **kwargs)
        given.apply_defaults()
        if not _masks(function) and given.arguments["weight_decay"]:
            raise UserError(f"no_decay={text!r}: {name}() decays weights without a mask; expected adamw() or its like.")
        return function(*args, **{key: mask for key in _masks(function)} | kwargs)

    return made


def _masks(function: Any) -> list[str]:
    """The parameters of a function of optax that mask its weight decay."""
    parameters = _parameters(function)
    decays = any(name in parameters for name in ("weight_decay", "weight_decay_rate"))
    return [name for name in ("mask", "weight_decay_mask") if decays and name in parameters]


@functools.cache
def _parameters(function: Any) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return ()
