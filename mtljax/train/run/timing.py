"""Where a run's seconds went, and how long its steps took."""

import array
import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

_KEPT = 40  # values that stand for all steps of earlier parts of a run
_MANY = 1 << 16  # steps of which each is kept


class Clock:
    """Charges wall time to what is being done; of things inside each other, to the innermost.

    Args:
        before: seconds of earlier parts of the run, by name.

    Attributes:
        seconds: so far, by name, what is going on left out.
    """

    def __init__(self, before: Mapping[str, float]) -> None:
        self.seconds = dict(before)
        self._doing: list[str] = []
        self._since = 0.0

    @contextlib.contextmanager
    def spent(self, name: str) -> Iterator[None]:
        """Charges what is done meanwhile to a name."""
        self.charge()
        self._doing.append(name)
        try:
            yield
        finally:
            self.charge()
            self._doing.pop()

    def charge(self) -> None:
        """Brings `seconds` up to now."""
        now = time.perf_counter()
        if self._doing:
            self.seconds[self._doing[-1]] = self.seconds.get(self._doing[-1], 0.0) + now - self._since
        self._since = now


class StepTimes:
    """Seconds between the ends of consecutive steps, as their reports arrive.

    Left out are the first step of a run, which compiles; steps next to an evaluation or a save (`pause`); and steps
    during which figures were written, unless they are after every step. A resumed run goes on with what stands for its
    earlier steps: quantiles, which weigh as much as the steps did.

    Args:
        before: what `figures` gave at the end of the earlier part of the run; empty at the start.

    Example:
        >>> times = StepTimes({})
        >>> for now in (9.0, 10.0, 11.0, 13.0):  # the first only begins
        ...     times.ended(now)
        >>> times.pause()
        >>> times.ended(99.0)
        >>> found = times.figures()
        >>> print(found["step_median"], found["steps_timed"])
        1.0 3
    """

    def __init__(self, before: Mapping[str, Any]) -> None:
        self._kept = [float(value) for value in before.get("step_sample", ())]
        self._number = int(before.get("steps_timed", 0)) if self._kept else 0
        self._quiet, self._written = array.array("d"), array.array("d")
        self._last: float | None = None
        self._wrote = self._folded = False

    def ended(self, now: float, *, writes: bool = False) -> None:
        """Notes that the next step's report is there.

        Args:
            now: in seconds.
            writes: whether its figures are written before the step after it ends.
        """
        if self._last is not None:
            (self._written if self._wrote else self._quiet).append(now - self._last)
            if len(self._quiet) >= _MANY:
                self._fold()
        self._last, self._wrote = now, writes

    def pause(self) -> None:
        """Leaves out the time until the end of the next step."""
        self._last = None

    def figures(self) -> dict[str, Any]:
        """`step_median` and `step_p95` in seconds, None where no step was timed; `steps_timed`; `step_sample`."""
        values, weights = self._weighted()
        number = self._number + len(self._new())
        found = quantiles(values, weights, (0.5, 0.95)) if number else [None, None]
        sample = _sample(values, weights)
        return {"step_median": found[0], "step_p95": found[1], "steps_timed": number, "step_sample": sample}

    def _new(self) -> array.array:
        return self._quiet if self._quiet or self._folded else self._written

    def _weighted(self) -> tuple[list[float], list[float]]:
        new = self._new()
        weights = [self._number / len(self._kept)] * len(self._kept) if self._kept else []
        return [*self._kept, *new], [*weights, *[1.0] * len(new)]

    def _fold(self) -> None:
        values, weights = self._weighted()
        self._number += len(self._new())
        self._kept = _sample(values, weights)
        self._quiet, self._folded = array.array("d"), True


def quantiles(values: Sequence[float], weights: Sequence[float], at: Sequence[float]) -> list[float]:
    """Quantiles of weighted values: each value stands in the middle of its weight, and between them it is linear.

    Example:
        >>> quantiles([3.0, 1.0, 2.0], [1.0, 1.0, 1.0], [0.5])
        [2.0]
    """
    order = np.argsort(values)
    sorted_weights = np.asarray(weights, float)[order]
    middles = (np.cumsum(sorted_weights) - sorted_weights / 2) / np.sum(sorted_weights)
    return np.interp(at, middles, np.asarray(values, float)[order]).tolist()


def _sample(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Few values that stand for many: all of them where there are few and they weigh the same."""
    if len(values) <= _KEPT and len(set(weights)) <= 1:
        return list(values)
    return quantiles(values, weights, [(i + 0.5) / _KEPT for i in range(_KEPT)])
