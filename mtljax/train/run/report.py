"""What is made of the report of a training step: figures to write, words for what is not finite, a reason to stop."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtljax.errors import UserError
from mtljax.train.config.default import balance_told
from mtljax.train.config.parts import Experiment
from mtljax.train.spread import hosts

WEIGHTS = "weights that the balancer gives"
Report = Mapping[str, Any]  # as the training step gives it, of NumPy arrays


def figures_of(names: Sequence[str], report: Report) -> dict[str, float]:
    """Figures of a step: losses of the tasks that are present, weights, cosines between gradients.

    Args:
        names: of the tasks, in the order of the losses.
        report: of the step.
    """
    present = zip(names, report["losses"], report["present"], strict=True)
    figures = {f"{n}/loss": float(loss) for n, loss, there in present if there}
    figures |= {f"balance/weight/{n}": float(w) for n, w in zip(names, report["weights"], strict=True)}
    if not report["solved"]:
        figures["balance/unsolved"] = 1.0
    if "cosines" in report:
        figures |= cosines_of(names, report["cosines"])
    return figures


def cosines_of(names: Sequence[str], cosines: Any) -> dict[str, float]:
    """Figures of the cosines between gradients, of the pairs that have one.

    Args:
        names: of the tasks, in the order of the losses.
        cosines: (T, T), with 0 on the diagonal for a task without a gradient: absent, not finite, or of nothing shared.

    Example:
        >>> cosines_of(["a", "b", "c"], np.array([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 0]]))
        {'balance/cosine/a/b': 0.5}
    """
    pairs = [(i, j) for i in range(len(names)) for j in range(i + 1, len(names)) if cosines[i, i] and cosines[j, j]]
    return {f"balance/cosine/{names[i]}/{names[j]}": float(cosines[i, j]) for i, j in pairs}


def not_finite(names: Sequence[str], report: Report) -> str:
    """What of a skipped update is not finite, in words."""
    bad = [name for name, loss in zip(names, report["losses"], strict=True) if not np.isfinite(loss)]
    if bad:
        return f"loss of {', '.join(bad)}"
    if not np.isfinite(report.get("weights", 0.0)).all():
        return WEIGHTS
    return "parameters or state after the update" if report["finite_gradient"] else "gradient"


def check_losses(parts: Experiment, step: int, report: Report) -> None:
    """Stops at a loss that the balancer cannot take the logarithm of, before it freezes what the tasks share.

    Raises:
        UserError: for one that is not above 0.
    """
    needy = getattr(parts.balancer, "needs_positive_losses", False)
    for name, loss, there in zip(parts.tasks, report["losses"], report["present"], strict=True):
        if needy and there and loss <= 0:
            error = UserError(
                f"step {step}: the loss of task {name!r} is {loss:.4g}, but {balance_told(parts.config)} takes "
                "logarithms or quotients of losses; expected losses above 0, or another balancer."
            )
            hosts.raised_by_all(error)  # which all have seen
