"""Steps that JAX's profiler is to look at: a trace of them in the workdir, for TensorBoard or Perfetto."""

import contextlib
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax

from mtljax.train.spread import hosts

PROFILE = "profile"  # folder in the workdir


class Profile:
    """A trace from the begin of one step to the end of another, of the first host; of nothing, where they are 0.

    Every step is annotated by its number, so that tools find its bounds, in a trace of whoever's.

    Args:
        between: the first and the last of the steps.
        start: the step after which the run begins.
        workdir: of the run.
    """

    def __init__(self, between: tuple[int, int], start: int, workdir: str | pathlib.Path) -> None:
        first, self._last = between
        self._folder, self._open = pathlib.Path(workdir) / PROFILE, False
        self._first = max(first, start + 1)
        self._wanted = hosts.first() and self._first <= self._last
        if hosts.first() and 0 < self._last <= start:
            print(f"warning: config.profile={between}: the run goes on after step {start}; no trace.", file=sys.stderr)

    def take(self, number: int, step: Callable[[], tuple[Any, Any]]) -> tuple[Any, Any]:
        """Takes a step."""
        if self._wanted and number == self._first:
            jax.profiler.start_trace(self._folder)
            self._open = True
        with jax.profiler.StepTraceAnnotation("train", step_num=number):
            found = step()
        if self._open and number == self._last:
            jax.block_until_ready(found)  # else the trace would end before the step
            self._close()
        return found

    @contextlib.contextmanager
    def closing(self) -> Iterator[None]:
        """Ends a trace that is open when the steps end, however they do."""
        try:
            yield
        finally:
            self._close()

    def _close(self) -> None:
        if self._open:
            self._open = False
            jax.profiler.stop_trace()
