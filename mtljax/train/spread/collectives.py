"""What a compiled program sends between devices, read from its text."""

import math
import re
from typing import Any, NamedTuple

import numpy as np

_KINDS = ("all-gather", "all-reduce", "reduce-scatter", "collective-permute", "all-to-all")
_CALL = re.compile(rf" = (.*?) ({'|'.join(_KINDS)})(?:-start)?\(")
_ARRAY = re.compile(r"(\w+)\[([\d,]*)\]")
_BYTES = {"pred": 1, "bf16": 2}


class Collective(NamedTuple):
    """One collective operation.

    Attributes:
        kind: `all-gather`, `all-reduce`, `reduce-scatter`, `collective-permute` or `all-to-all`.
        shapes: of its results on one device.
        num_bytes: of its results on one device.
    """

    kind: str
    shapes: tuple[tuple[int, ...], ...]
    num_bytes: int


def collectives(compiled: Any) -> list[Collective]:
    """The collectives of a program, as `jax.jit(f).lower(...).compile()` gave it, in the order of its text.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> collectives(jax.jit(jnp.sum).lower(jnp.ones(3)).compile())
        []
    """
    found = []
    for results, kind in _CALL.findall(compiled.as_text()):
        arrays = [(name, tuple(int(n) for n in axes.split(",") if n)) for name, axes in _ARRAY.findall(results)]
        num_bytes = sum(_item_size(name) * math.prod(shape) for name, shape in arrays)
        found.append(Collective(kind, tuple(shape for _, shape in arrays), num_bytes))
    return found


def _item_size(name: str) -> int:
    if name in _BYTES:
        return _BYTES[name]
    kind, bits = name[0], name[1:]
    return int(bits) // 8 if bits.isdigit() else np.dtype(kind).itemsize
