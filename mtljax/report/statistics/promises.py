"""What multi-task learning promises over single networks, each with a figure over seeds and a verdict."""

import dataclasses
import math
from collections.abc import Mapping

from mtljax.errors import UserError
from mtljax.report.runs import Results
from mtljax.report.statistics.label_curves import LabelCurve
from mtljax.report.statistics.pairs import BOTH, against
from mtljax.report.statistics.summary import LEVEL, Summary, check, mean_of, summarise
from mtljax.report.statistics.training_time import TrainingTime

HOLDS, FAILS, NOT_SHOWN = "holds", "does not hold", "not shown"


@dataclasses.dataclass(frozen=True)
class Promise:
    """One promise, judged.

    The verdict is "holds" where the whole interval is on the promised side of no difference, "does not hold" where it
    is on the other, else "not shown": which is all that one seed can say, but of what is counted and not measured.

    Attributes:
        name: inference, training, labels or accuracy.
        claim: what is promised, a sentence without its full stop.
        figure: what it is judged by, over seeds.
        unit: what the figure is.
        no_difference: the value of the figure at which there is none: 1 of a ratio, 0 of a gain or worsening.
        verdict: "holds", "does not hold" or "not shown".
        note: what the figure leaves out, or why there is none; "" for nothing.
    """

    name: str
    claim: str
    figure: Summary
    unit: str
    no_difference: float
    verdict: str
    note: str = ""

    @property
    def sentence(self) -> str:
        """Claim, verdict, figure and interval in words."""
        figure = self.figure
        if math.isnan(figure.mean):
            shown = f"no {self.unit}"
        else:
            ends = "" if figure.interval is None else ", interval {:.4g} to {:.4g}".format(*figure.interval)
            shown = f"{self.unit} {figure.mean:.4g}{ends}"
        seeds = "1 seed" if figure.n == 1 else f"{figure.n} seeds"
        note = f"; {self.note}" if self.note else ""
        return f"{self.claim}: {self.verdict} for this config ({shown}; {seeds}{note})."


def inference(
    joint: Mapping[int, float],
    alone: Mapping[int, Mapping[str, float]],
    what: str = "FLOPs",
    *,
    counted: bool = False,
    level: float = LEVEL,
) -> Promise:
    """That one model answers for all tasks at less cost than the single networks together.

    Args:
        joint: seed -> cost of one model for all tasks: seconds, FLOPs, parameters.
        alone: seed -> task -> cost of the task's own network.
        what: the cost's name.
        counted: whether it is a count, which has no error: then the figure itself is judged, be it of one seed.
        level: of the interval.

    Returns:
        The ratio of the costs over the seeds that have all networks.

    Raises:
        UserError: for a level that is not between 0 and 1.

    Example:
        >>> print(inference({0: 3.0}, {0: {"depth": 2.0, "segment": 2.0}}, counted=True).sentence)
        One model answers at less cost than the single networks: holds for this config (ratio of FLOPs 0.75; 1 seed).
    """
    tasks = {task for costs in alone.values() for task in costs}
    ratios = {
        seed: joint[seed] / math.fsum(costs.values())
        for seed, costs in alone.items()
        if costs.keys() == tasks and _known(joint.get(seed)) and all(map(_known, costs.values()))
    }
    left_out = len(joint.keys() | alone.keys()) - len(ratios)
    figure = summarise(ratios, level)
    if counted and figure.n:
        verdict = HOLDS if max(ratios.values()) < 1 else FAILS if min(ratios.values()) >= 1 else NOT_SHOWN
    else:
        verdict = judged(figure, 1)
    return Promise(
        "inference",
        "One model answers at less cost than the single networks",
        figure,
        f"ratio of {what}",
        1,
        verdict,
        f"{left_out} {'seed has' if left_out == 1 else 'seeds have'} no figure of all networks" if left_out else "",
    )


def training(times: Mapping[int, TrainingTime], level: float = LEVEL) -> Promise:
    """That one training gets all tasks to their single networks' quality sooner than these get there one by one.

    Where no seed of two or more ever gets there it does not hold; where some do and some do not, it is not shown.

    Args:
        times: seed -> what `training_time` says of it.
        level: of the interval.

    Returns:
        The ratio of seconds over seeds, NaN for a seed whose training never gets there.

    Raises:
        UserError: for a level that is not between 0 and 1.
    """
    figure = summarise({seed: time.ratio for seed, time in times.items()}, level)
    aimless = sum(not time.has_goals for time in times.values())
    never = sorted(seed for seed, time in times.items() if time.seconds_joint is None and time.has_goals)
    notes = [f"it is never reached with {len(never)} of {len(times)} seeds"] if never else []
    notes += [f"a single network has no finite figure with {aimless} of {len(times)} seeds"] if aimless else []
    verdict = FAILS if len(never) == len(times) >= 2 else judged(figure, 1)
    return Promise(
        "training",
        "One training reaches the single networks' quality in less time than theirs together",
        figure,
        "ratio of seconds",
        1,
        verdict,
        "; ".join(notes),
    )


def labels(curves: Mapping[int, Mapping[str, LabelCurve]], level: float = LEVEL) -> Promise:
    """That tasks trained together do better than alone on the same share of the labels.

    Args:
        curves: seed -> task -> what `label_curve` says of it.
        level: of the interval.

    Returns:
        The mean over tasks of the mean relative gain over log2 of the share, over seeds.

    Raises:
        UserError: for a level that is not between 0 and 1.
    """
    gains = {
        seed: mean_of([math.nan if curve.mean_gain is None else curve.mean_gain for curve in tasks.values()])
        for seed, tasks in curves.items()
    }
    figure = summarise(gains, level)
    return Promise(
        "labels",
        "Trained together, tasks do better on the same share of the labels",
        figure,
        "mean relative gain over log2 share",
        0,
        judged(figure, 0, above=True),
        "" if all(map(math.isfinite, gains.values())) else "a share's figure is missing",
    )


def accuracy(
    results: Results, metrics: Mapping[str, bool], baseline: str, method: str, over: str = "tasks", level: float = LEVEL
) -> Promise:
    """That tasks trained together are predicted better than by single networks: delta_m below 0.

    The interval has the spread of the baseline's seeds too: each seed of the method is held against the baseline's of
    the same seed.

    Args:
        results: method -> seed -> figures.
        metrics: `<task>/<metric>` -> whether higher is better; it says which figures count.
        baseline: the single networks.
        method: which is judged.
        over: what weighs the same in delta_m: "tasks" or "metrics".
        level: of the interval.

    Raises:
        UserError: for an unknown baseline, method or weighting, or a metric that no run has.
    """
    check(results, metrics, baseline)
    check(results, metrics, method)
    figure = against(results, metrics, baseline, method, over, level, BOTH)
    return Promise(
        "accuracy",
        "Tasks trained together are predicted better than by single networks",
        figure,
        f"Δm in per cent over {over}",
        0,
        judged(figure, 0),
        "" if figure.n else "no seed in common",
    )


def judged(figure: Summary, no_difference: float, *, above: bool = False) -> str:
    """The verdict on a figure that is promised to be below (or above) no difference.

    Example:
        >>> [judged(summarise(dict(enumerate(x))), 1) for x in ([0.5, 0.6, 0.5], [1.5, 1.6, 1.5], [0.5, 1.5], [0.5])]
        ['holds', 'does not hold', 'not shown', 'not shown']
    """
    if figure.interval is None:
        return NOT_SHOWN
    low, high = figure.interval
    if low > no_difference:
        return HOLDS if above else FAILS
    if high < no_difference:
        return FAILS if above else HOLDS
    return NOT_SHOWN


def _known(cost: float | None) -> bool:
    if cost is not None and cost < 0:
        raise UserError(f"a cost of {cost}; expected none below 0.")
    return cost is not None and math.isfinite(cost) and cost > 0
