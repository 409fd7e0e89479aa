"""A function that is compiled once for each form of its arguments, and knows what that took and what it costs."""

import time
from collections.abc import Callable
from typing import Any

import jax


class Program:
    """Calls a jitted (or mapped) function through what was compiled of it ahead of the call.

    It is compiled at the first call with arguments of a form: the shapes and dtypes of all of them but the first, whose
    form follows from theirs. What is compiled stays with the program, whatever `jax.clear_caches` does.

    Args:
        function: as `jax.jit` or `jax.pmap` gives it, of at least two arguments.

    Attributes:
        seconds: that tracing and compiling have taken so far.
        flops: that XLA counts in one call on one device, of the form compiled last; None before, and where it does not
            tell. Of a loop it counts one turn.

    Example:
        >>> import jax.numpy as jnp
        >>> double = Program(jax.jit(lambda scale, x: scale * x))
        >>> print(double(2, jnp.ones(3)), double.flops, double.seconds > 0)
        [2. 2. 2.] 3.0 True
    """

    def __init__(self, function: Any) -> None:
        self._function = function
        self._compiled: dict[Any, Callable[..., Any]] = {}
        self.seconds = 0.0
        self.flops: float | None = None

    def __call__(self, first: Any, *others: Any) -> Any:
        """Gives what the function gives."""
        leaves, structure = jax.tree.flatten(others)
        form = (structure, *((leaf.shape, leaf.dtype) for leaf in leaves))
        compiled = self._compiled.get(form)
        if compiled is None:
            compiled = self._compiled[form] = self._ready(first, *others)
        return compiled(first, *others)

    def lower(self, *arguments: Any) -> Any:
        """As `jax.jit(function).lower`."""
        return self._function.lower(*arguments)

    def _ready(self, *arguments: Any) -> Callable[..., Any]:
        begin = time.perf_counter()
        compiled = self.lower(*arguments).compile()
        self.seconds += time.perf_counter() - begin
        self.flops = flops_of(compiled)
        return compiled


def flops_of(stage: Any) -> float | None:
    """The floating-point operations that XLA counts in a lowered or compiled function; None where it does not tell."""
    try:
        found = stage.cost_analysis()
    except (RuntimeError, NotImplementedError):  # not every backend has it
        return None
    found = (found[0] if found else {}) if isinstance(found, list) else found or {}
    count = float(found.get("flops", -1))
    return count if count >= 0 else None
