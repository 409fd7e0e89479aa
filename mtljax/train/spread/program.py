"""A function that is compiled once for each form of its arguments, and knows what that took and what it costs."""

import contextlib
import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax

_POLL = 0.1  # seconds between two looks at a compilation
_watch: contextvars.ContextVar[Callable[[float], None] | None] = contextvars.ContextVar("watch", default=None)
_compiling: set[threading.Thread] = set()


@contextlib.contextmanager
def watching(watch: Callable[[float], None]) -> Iterator[None]:
    """Has a function called while programs compile: with the seconds so far, some ten times a second.

    What it raises ends the wait, though not the compilation, which goes on in its own thread.
    """
    before = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(before)


def unfinished() -> bool:
    """Whether something is still being compiled that nobody waits for."""
    return any(thread.is_alive() for thread in _compiling)


def _watched(lowered: Any, begin: float, watch: Callable[[float], None]) -> Any:
    """Compiles in a thread, since signals are not handled in one that is in C++."""
    found: list[Any] = []

    def compile_it() -> None:
        try:
            found.append((lowered.compile(), None))
        except BaseException as error:
            found.append((None, error))

    thread = threading.Thread(target=compile_it, name="compiling")
    _compiling.difference_update([done for done in _compiling if not done.is_alive()])
    _compiling.add(thread)
    thread.start()
    while thread.is_alive():
        watch(time.perf_counter() - begin)
        thread.join(_POLL)
    compiled, error = found[0]
    if error is not None:
        raise error
    return compiled


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
        >>> print(double(2, jnp.ones(3)), double.flops >= 3, double.seconds > 0)
        [2. 2. 2.] True True
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
        if form not in self._compiled:
            if jax.process_count() > 1:
                return self._first_of_several(form, first, *others)
            self._compiled[form] = self._ready(first, *others)
        compiled = self._compiled[form]
        try:
            return compiled(first, *others)
        except ValueError:  # what a checkpoint gave lies elsewhere than what a step gives
            return compiled(*_placed((first, *others), compiled))

    def lower(self, *arguments: Any) -> Any:
        """As `jax.jit(function).lower`."""
        return self._function.lower(*arguments)

    def _first_of_several(self, form: Any, *arguments: Any) -> Any:
        """The first call among several processes, where the function itself sees to what each of them holds."""
        begin = time.perf_counter()
        self.flops = flops_of(self.lower(*arguments))
        found = self._function(*arguments)
        self.seconds += time.perf_counter() - begin
        self._compiled[form] = self._function
        return found

    def _ready(self, *arguments: Any) -> Callable[..., Any]:
        begin, watch = time.perf_counter(), _watch.get()
        if watch is not None:
            watch(0.0)
        lowered = self.lower(*arguments)
        compiled = lowered.compile() if watch is None else _watched(lowered, begin, watch)
        self.seconds += time.perf_counter() - begin
        self.flops = flops_of(compiled)
        return compiled


def _placed(arguments: tuple[Any, ...], compiled: Any) -> Any:
    """Arguments where a compiled function wants them."""
    leaves, structure = jax.tree.flatten(arguments)
    wanted = jax.tree.leaves(compiled.input_shardings[0], is_leaf=lambda x: x is None)

    def placed(x: Any, sharding: Any) -> Any:
        return jax.device_put(x, sharding) if isinstance(x, jax.Array) and sharding is not None else x

    return structure.unflatten([placed(x, sharding) for x, sharding in zip(leaves, wanted, strict=True)])


def flops_of(stage: Any) -> float | None:
    """The floating-point operations that XLA counts in a lowered or compiled function; None where it does not tell."""
    try:
        found = stage.cost_analysis()
    except (RuntimeError, NotImplementedError):  # not every backend has it
        return None
    found = (found[0] if found else {}) if isinstance(found, list) else found or {}
    count = float(found.get("flops", -1))
    return count if count >= 0 else None
