"""What varies in a comparison: keys of the config, and what methods make of them."""

import math
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from mtljax.errors import UserError, unknown
from mtljax.train.config.default import flat

BALANCE = "balance"
_BOOLS = {"true": True, "false": False}
_LONGEST = 200  # letters of a folder's name


def keys_of(config: ml_collections.ConfigDict, vary: str) -> tuple[str, ...]:
    """The keys that vary: one, or several with commas between them.

    Raises:
        UserError: for a key that the config does not have, the seed, or one that is named twice.

    Example:
        >>> keys_of(ml_collections.ConfigDict({"balance": "equal()", "measure": "shared"}), "balance, measure")
        ('balance', 'measure')
    """
    keys = tuple(key.strip() for key in vary.split(","))
    known = [key for key, value in flat(config).items() if key != "seed" and isinstance(value, str | int | float)]
    for i, key in enumerate(keys):
        if key == "seed":
            raise UserError("--vary=seed: seeds are compared by --seeds.")
        if key == "balance_groups":
            raise UserError(
                "--vary=balance_groups: expected --vary=balance, with per_group([('.*', equal())]) as a method."
            )
        if key not in known and not re.fullmatch(r"optimizers\.\w+", key):
            raise unknown("config key to vary (--vary):", key, known)
        if key in keys[:i]:
            raise UserError(f"--vary names {key!r} twice.")
    return keys


def values_of(config: ml_collections.ConfigDict, keys: Sequence[str], method: str) -> dict[str, Any]:
    """What a method gives each key that varies, of the type that the config has there.

    Args:
        config: of the comparison.
        keys: that vary.
        method: a value; of several keys, as many with | between them.

    Raises:
        UserError: where these are not as many as keys, or not of their types.

    Example:
        >>> config = ml_collections.ConfigDict({"balance": "equal()", "batch_size": 4})
        >>> values_of(config, ["balance", "batch_size"], "cagrad(c=0.4) | 8")
        {'balance': 'cagrad(c=0.4)', 'batch_size': 8}
    """
    texts = [text.strip() for text in method.split("|")] if len(keys) > 1 else [method]
    if len(texts) != len(keys):
        raise UserError(
            f"--methods: {method!r} has {len(texts)} values with | between them; expected {len(keys)}, of "
            f"{', '.join(keys)}: --vary=balance,measure --methods='equal()|shared;pcgrad()|features'."
        )
    now = flat(config)
    return {key: _typed(key, text, now.get(key, "")) for key, text in zip(keys, texts, strict=True)}


def with_values(config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A config in which dotted keys have other values; that which is given stays as it is."""
    changed = {key: dict(value) if isinstance(value, Mapping) else value for key, value in config.items()}
    for key, value in values.items():
        outer, _, inner = key.partition(".")
        (changed[outer] if inner else changed)[inner or outer] = value
    return changed


def folder_of(values: Mapping[str, Any]) -> str:
    """The name of the folder of a method: its letters and digits; of numbers, the key too.

    Example:
        >>> folder_of({"balance": "cagrad(c=0.4)"}), folder_of({"batch_size": 8})
        ('cagrad-c=0.4', 'batch_size=8')
    """
    parts = [value if isinstance(value, str) else f"{key}={value}" for key, value in values.items()]
    name = re.sub(r"[^\w.=]+", "-", "|".join(parts)).rstrip("-").lstrip("-.") or "_"
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 9]}-{zlib.crc32(name.encode()):08x}"


def _typed(key: str, text: str, now: Any) -> Any:
    """A text as a value of the type of another."""
    if isinstance(now, str):
        return text
    try:
        value = _BOOLS[text.lower()] if isinstance(now, bool) else type(now)(text)
    except (KeyError, ValueError):
        value = None
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}[type(now)]
        raise UserError(f"--methods: {text!r} is no value of {key}; expected {wanted}.")
    return value
