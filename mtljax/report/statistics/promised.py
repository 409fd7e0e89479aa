"""The promises of multi-task learning, judged by the runs of a comparison."""

import math
from collections.abc import Mapping, Sequence

from mtljax.errors import unknown
from mtljax.report.runs import SINGLE, Comparison
from mtljax.report.statistics.label_curves import LabelCurve, label_curve
from mtljax.report.statistics.promises import Promise, accuracy, inference, labels, training
from mtljax.report.statistics.summary import LEVEL
from mtljax.report.statistics.training_time import TrainingTime

_COSTS = {"seconds of a prediction": ("seconds", "inference"), "forward FLOPs": ("flops", "forward")}


def promised(
    comparison: Comparison,
    method: str,
    times: Mapping[int, TrainingTime] | None = None,
    metrics: Sequence[str] | None = None,
    level: float = LEVEL,
) -> list[Promise]:
    """What the runs of a method and of the single networks show of each promise.

    Args:
        comparison: with runs of `single`.
        method: which is judged.
        times: seed -> `training_time` of its curves; None where there are none.
        metrics: `<task>/<metric>` that delta_m counts; None for all.
        level: of the intervals.

    Returns:
        Promises that the runs have anything on: inference (a promise a cost), training, labels (with runs on shares of
        the examples) and accuracy (delta_m over tasks and over metrics).

    Raises:
        UserError: where the method or `single` is not in the comparison, or for an unknown metric.
    """
    for name in (method, SINGLE):
        if name not in comparison.methods:
            raise unknown("method of the comparison:", name, comparison.methods)
    found = []
    for what, place in _COSTS.items():
        costs = comparison.recorded(*place)
        joint = {seed: math.fsum(tasks.values()) for seed, tasks in costs[method].items()}
        alone = {seed: {str(task): cost for task, cost in tasks.items()} for seed, tasks in costs[SINGLE].items()}
        one = inference(joint, alone, what, counted=place[0] == "flops", level=level)
        found += [one] if one.figure.n else []
    if times:
        found.append(training(times, level))
    curves = label_curves(comparison, method)
    if curves:
        found.append(labels(curves, level))
    results, judged = comparison.results(), comparison.directions(metrics)
    if results[method] and results[SINGLE]:
        found += [accuracy(results, judged, SINGLE, method, over, level) for over in ("tasks", "metrics")]
    return found


def label_curves(comparison: Comparison, method: str) -> dict[int, dict[str, LabelCurve]]:
    """Seed -> task -> what a method saves in labels by the task's primary metric, against the single networks.

    Args:
        comparison: with runs on shares of the examples.
        method: which is judged.

    Returns:
        Only seeds with all labels and at least one lesser share, for both; shares that either lacks do not count.
    """
    shares = sorted({run.share for run in comparison.runs})
    results = {share: comparison.results(share) for share in shares}
    metrics = [metric for metric in comparison.metrics if metric.primary]
    found = {}
    for seed in sorted(results[1.0][method]) if 1.0 in results else ():
        own = [share for share in shares if all(seed in results[share][name] for name in (method, SINGLE))]
        if len(own) > 1 and own[-1] == 1:
            curves = {
                name: {
                    metric.task: {share: results[share][name][seed].get(metric.name, math.nan) for share in own}
                    for metric in metrics
                }
                for name in (method, SINGLE)
            }
            found[seed] = {
                metric.task: label_curve(
                    curves[SINGLE][metric.task], curves[method][metric.task], metric.higher_is_better
                )
                for metric in metrics
            }
    return found
