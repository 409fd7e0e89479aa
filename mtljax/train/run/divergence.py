"""What is seen of a run that diverges: which task, from which step on, and what to look at, in that order."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mtljax.tasks import Task
from mtljax.train.run.report import WEIGHTS, not_finite

_FAR = 100.0  # times its first value, at which a loss is told to grow
_ROSE = 10.0  # times its least value, from which on a loss has grown before it was no number


class Divergence:
    """Watches the losses of a run.

    Args:
        tasks: name -> task, in the order of the losses.
        dtype: of the encoder's computation.
    """

    def __init__(self, tasks: Mapping[str, Task], dtype: str) -> None:
        self._tasks, self._dtype = tasks, dtype
        self._first: dict[str, float] = {}  # task -> its first finite loss
        self._least: dict[str, tuple[float, int]] = {}  # and its least and its latest, each with its step
        self._latest: dict[str, tuple[float, int]] = {}
        self._told: set[str] = set()
        self._begun: tuple[int, str] | None = None  # the first of the skipped updates in a row, and what was wrong
        self._bad: list[str] = []  # tasks whose loss was no finite number then

    def note(self, step: int, report: Mapping[str, Any]) -> str:
        """Reads the report of a step, of NumPy arrays; a line where a loss has grown a hundredfold, once."""
        losses = dict(zip(self._tasks, map(float, report["losses"]), strict=True))
        present = dict(zip(self._tasks, report["present"], strict=True))
        if report["finite"]:
            self._begun = None
        elif self._begun is None:
            self._begun = step, not_finite(list(losses), report)
            self._bad = [name for name, loss in losses.items() if not np.isfinite(loss)]
        lines = [self._grown(name, step, loss) for name, loss in losses.items() if present[name] and np.isfinite(loss)]
        return "\n".join(filter(None, lines))

    def _grown(self, name: str, step: int, loss: float) -> str:
        first = self._first.setdefault(name, loss)
        self._latest[name] = loss, step
        self._least[name] = min(self._least.get(name, (loss, step)), (loss, step))
        if name in self._told or not loss > _FAR * first > 0:
            return ""
        self._told.add(name)
        least, at = self._least[name]
        return (
            f"step {step}: the loss of task {name!r} is {loss:.3g}, over {_FAR:g} times its first; it was {least:.3g} "
            f"at step {at}. Look at the learning rate first, then at its labels."
        )

    def advice(self) -> str:
        """What was wrong first, and what to look at, the likeliest cause first."""
        step, what = self._begun or (0, "")
        return f"The first was at step {step}: {what}. Look at, in this order: {'; '.join(self._causes())}."

    def _causes(self) -> list[str]:
        grown = [name for name in self._bad or self._tasks if self._has_grown(name)]
        rate = "the learning rate (lower, warmed up, or with clip_norm)"
        if grown:
            (least, at), (last, then) = self._least[grown[0]], self._latest[grown[0]]
            rate += f": the loss of {grown[0]!r} had gone from {least:.3g} at step {at} to {last:.3g} at step {then}"
        names = self._bad or list(self._tasks)
        read = ", ".join(dict.fromkeys(label for name in names for label in self._tasks[name].labels))
        never = [name for name in self._bad if name not in self._latest]
        labels = f"labels and inputs ({read})"
        if never:
            labels += f": the loss of {', '.join(map(repr, never))} never was a finite number"
        low = self._dtype != "float32"
        precision = (
            f"precision: dtype='float32' instead of {self._dtype!r}"
            if low
            else ("precision: logarithms, roots and quotients near 0 in losses and modules of your own")
        )
        what = (self._begun or (0, ""))[1]
        if what == WEIGHTS:
            return ["the balancer, whose weights are no numbers where all losses are", precision, rate]
        if never:
            return [labels, precision, rate] if low else [labels, rate, precision]
        if grown or what.startswith("parameters"):
            return [rate, precision, labels] if low else [rate, labels, precision]
        if low or what == "gradient":
            return [precision, labels, rate]
        return [labels, rate, precision]

    def _has_grown(self, name: str) -> bool:
        if name not in self._latest:
            return False
        return self._latest[name][0] > _ROSE * max(self._least[name][0], 0) and self._latest[name][0] > 0
