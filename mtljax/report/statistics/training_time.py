"""How long one training takes to the quality that single networks reach, against their trainings together."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from mtljax.errors import UserError, unknown


@dataclasses.dataclass(frozen=True)
class Curve:
    """A task's metric during a training.

    Attributes:
        steps: of the evaluations, rising.
        values: of the metric there; one that is not finite counts as never better.
        seconds_per_step: of the training.
    """

    steps: Sequence[float]
    values: Sequence[float]
    seconds_per_step: float


@dataclasses.dataclass(frozen=True)
class TaskTime:
    """A task's way to its goal: the best that its own network ever reaches.

    Attributes:
        goal: value of the metric; None where its own network has no finite one.
        steps_alone: when its own network gets there first.
        steps_joint: when the joint training does; None where it never does.
        seconds_alone: the same in seconds.
        seconds_joint: likewise.
    """

    goal: float | None
    steps_alone: float | None
    steps_joint: float | None
    seconds_alone: float | None
    seconds_joint: float | None


@dataclasses.dataclass(frozen=True)
class TrainingTime:
    """The time to all goals.

    Attributes:
        tasks: task -> its way.
        seconds_alone: of all single networks' trainings together; None where one has no goal.
        seconds_joint: when the joint training's last task gets there; None where one never does.
    """

    tasks: Mapping[str, TaskTime]
    seconds_alone: float | None
    seconds_joint: float | None

    @property
    def has_goals(self) -> bool:
        """Whether every task has a quality to be reached."""
        return all(task.goal is not None for task in self.tasks.values())

    @property
    def ratio(self) -> float:
        """Joint over alone; NaN where either is not known or alone takes no time."""
        return (
            self.seconds_joint / self.seconds_alone
            if self.seconds_joint is not None and self.seconds_alone
            else math.nan
        )


def training_time(
    alone: Mapping[str, Curve], joint: Mapping[str, Curve], higher_is_better: Mapping[str, bool]
) -> TrainingTime:
    """When one training has brought every task to the best that its own network ever reaches, best so far counting.

    Between evaluations the best so far is taken to change linearly with the steps. A goal that is met at the first
    evaluation is met by its step: it may have been earlier.

    Args:
        alone: task -> the curve of its own network.
        joint: task -> its curve in the joint training.
        higher_is_better: task -> the direction of its metric; it says which tasks count.

    Raises:
        UserError: for a task without a curve, or a curve that is no curve.

    Example:
        >>> alone, joint = Curve([0, 10], [2.0, 1.0], 0.5), Curve([0, 10], [2.0, 0.0], 0.75)
        >>> found = training_time({"depth": alone}, {"depth": joint}, {"depth": False})
        >>> found.tasks["depth"].steps_joint, found.seconds_joint, found.seconds_alone, found.ratio
        (5.0, 3.75, 5.0, 0.75)
    """
    tasks = {}
    for task, up in higher_is_better.items():
        for curves, where in ((alone, "alone"), (joint, "joint")):
            if task not in curves:
                raise unknown(f"task in the curves {where}:", task, curves)
        own, other, sign = alone[task], joint[task], -1 if up else 1
        best = min((sign * value for value in own.values if math.isfinite(value)), default=None)
        steps = [None if best is None else _steps_to(best, curve, sign) for curve in (own, other)]
        seconds = [
            None if n is None else n * curve.seconds_per_step for n, curve in zip(steps, (own, other), strict=True)
        ]
        tasks[task] = TaskTime(None if best is None else sign * best, *steps, *seconds)
    return TrainingTime(
        tasks,
        _all_or_none([task.seconds_alone for task in tasks.values()], math.fsum),
        _all_or_none([task.seconds_joint for task in tasks.values()], max),
    )


def _steps_to(goal: float, curve: Curve, sign: int) -> float | None:
    """When the best so far of the signed metric, less being better, is at the goal; None for never."""
    if len(curve.steps) != len(curve.values) or any(a >= b for a, b in zip(curve.steps, curve.steps[1:], strict=False)):
        raise UserError(
            f"a curve of steps {list(curve.steps)}, values {list(curve.values)}; expected rising steps, a value each."
        )
    before, best = 0.0, math.inf
    for step, value in zip(curve.steps, curve.values, strict=True):
        value = sign * value if math.isfinite(value) else math.inf
        if value <= goal:
            return step if math.isinf(best) else before + (step - before) * (best - goal) / (best - value)
        before, best = step, min(best, value)
    return None


def _all_or_none(values, combine):
    return None if not values or None in values else combine(values)
