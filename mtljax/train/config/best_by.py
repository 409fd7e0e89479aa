"""By which figure a run keeps its best checkpoint: `config.keep_best`."""

import dataclasses
from collections.abc import Mapping

from mtljax.errors import UserError, unknown
from mtljax.tasks import Task, delta_m

DELTA = "delta_m"


@dataclasses.dataclass(frozen=True)
class BestBy:
    """A figure of an evaluation by which checkpoints are told apart.

    Attributes:
        name: `<task>/<metric>`, or `delta_m`: of the tasks' primary metrics, over the best constant predictor.
        higher_is_better: its direction.
        primary: for `delta_m`, task -> the name of its primary metric and its direction; else empty.
    """

    name: str
    higher_is_better: bool
    primary: Mapping[str, tuple[str, bool]] = dataclasses.field(default_factory=dict)

    @property
    def needs_constant(self) -> bool:
        """Whether the figures of the constant predictor are needed, too."""
        return bool(self.primary)

    def of(self, figures: Mapping[str, float], constant: Mapping[str, float]) -> float:
        """The figure; NaN where it is none.

        Args:
            figures: of an evaluation, by `<task>/<metric>`.
            constant: those of the constant predictor; they may be empty where they are not needed.
        """
        if not self.primary:
            return figures[self.name]
        up = {task: {name: higher} for task, (name, higher) in self.primary.items()}
        ours, theirs = (
            {task: {name: found[f"{task}/{name}"]} for task, (name, _) in self.primary.items()}
            for found in (figures, constant)
        )
        return delta_m(ours, theirs, up)


def best_by(name: str, tasks: Mapping[str, Task]) -> BestBy | None:
    """What `config.keep_best` names; None where it is ''.

    Args:
        name: `<task>/<metric>`, or `delta_m`.
        tasks: name -> task.

    Raises:
        UserError: for a metric that no task has; for `delta_m` with a task whose constant predictor means nothing.
    """
    if not name:
        return None
    if name == DELTA:
        without = [task.name for task in tasks.values() if task.constant is None]
        if without:
            raise UserError(
                f"config.keep_best={DELTA!r} holds each task's primary metric against that of the best constant "
                f"predictor, which {', '.join(without)} has not; expected a metric, such as {_names(tasks)[0]!r}."
            )
        return BestBy(DELTA, False, {task: (t.primary.name, t.primary.higher_is_better) for task, t in tasks.items()})
    if name not in _names(tasks):
        raise unknown("metric in config.keep_best:", name, [*_names(tasks), DELTA])
    task, _, wanted = name.partition("/")
    return BestBy(name, next(metric.higher_is_better for metric in tasks[task].metrics if metric.name == wanted))


def _names(tasks: Mapping[str, Task]) -> list[str]:
    return [f"{name}/{metric.name}" for name, task in tasks.items() for metric in task.metrics]
