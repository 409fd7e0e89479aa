"""One figure for a whole multi-task model."""

import math
from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from mtljax.errors import UserError, unknown

_T = TypeVar("_T")
_Figures = Mapping[str, Mapping[str, float]]


def delta_m(figures: _Figures, baseline: _Figures, higher_is_better: Mapping[str, Mapping[str, bool]]) -> float:
    """Δm in per cent: how much worse a multi-task model is than a network a task. Positive is WORSE, negative better.

    `Δm = 100/T Σ_t 1/|M_t| Σ_m (-1)^l (M - B) / B` over the metrics M_t of T tasks, with l = 1 where higher is better
    and B the figures of single-task networks of the same architecture and budget. The sign is that of Nash-MTL (Navon
    et al., ICML 2022) and FAMO (Liu et al., NeurIPS 2023), whose published figures are means over all metrics at once:
    for those, let each metric be a task of its own. Maninis et al. (CVPR 2019, equation 4), who brought the figure in,
    have the other sign.

    Args:
        figures: task -> metric -> value.
        baseline: the same, of single-task networks.
        higher_is_better: the same metrics' directions; it says which metrics count: others are left out.

    Returns:
        Per cent; NaN where a baseline is 0 or any figure is NaN.

    Raises:
        UserError: for a task or metric that has a direction and no figure, or where none has a direction.

    Example:
        >>> ours = {"segment": {"mIoU": 0.45}, "depth": {"AbsErr": 0.5, "AbsRel": 0.2}}
        >>> alone = {"segment": {"mIoU": 0.5}, "depth": {"AbsErr": 0.5, "AbsRel": 0.25}}
        >>> up = {"segment": {"mIoU": True}, "depth": {"AbsErr": False, "AbsRel": False}}
        >>> delta_m(ours, alone, up)  # segmentation is 10 % worse; depth 0 % and 20 % better
        0.0
    """
    if not higher_is_better or not all(higher_is_better.values()):
        raise UserError("delta_m: higher_is_better names no task, or one without a metric; expected one at least.")
    by_task = []
    for task, directions in higher_is_better.items():
        ours, alone = _of(figures, task, "task", "figures"), _of(baseline, task, "task", "baseline")
        worse = []
        for metric, up in directions.items():
            m, b = (
                float(_of(x, metric, f"metric of task {task!r}", name))
                for x, name in ((ours, "figures"), (alone, "baseline"))
            )
            worse.append(worsening(m, b, up))
        by_task.append(np.mean(worse))
    return float(np.mean(by_task))


def worsening(figure: float, baseline: float, higher_is_better: bool) -> float:
    """How much worse a figure is than a baseline's, in per cent of the baseline's size. Positive is worse.

    Args:
        figure: of the model that is judged.
        baseline: of what it is held against. Below 0 (a correlation, say) its size counts, so that the sign stays.
        higher_is_better: the figure's direction.

    Returns:
        Per cent; NaN where the baseline is 0 or either is NaN.

    Example:
        >>> worsening(0.25, 0.5, higher_is_better=True)
        50.0
    """
    return 100 * (-1 if higher_is_better else 1) * (figure - baseline) / abs(baseline) if baseline else math.nan


def _of(values: Mapping[str, _T], name: str, kind: str, where: str) -> _T:
    if name not in values:
        raise unknown(f"{kind} in the {where} of delta_m:", name, values)
    return values[name]
