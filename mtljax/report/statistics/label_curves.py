"""How a task's metric falls with the share of labelled examples, trained alone and with others."""

import dataclasses
import math
from collections.abc import Mapping

from mtljax.delta import worsening
from mtljax.errors import UserError


@dataclasses.dataclass(frozen=True)
class LabelCurve:
    """What joint training saves in labels, for one task.

    Attributes:
        equal_share: least share at which joint training is as good as the task's own network with all labels; the
            least share tried where it is that already (then it may be lower); None where it never is.
        mean_gain: relative gain over the task's own network on the same share, meaned over log2 of the share: 0.1 is a
            tenth better. None with one share, or where a figure of its own network is 0.
    """

    equal_share: float | None
    mean_gain: float | None


def label_curve(alone: Mapping[float, float], joint: Mapping[float, float], higher_is_better: bool) -> LabelCurve:
    """What joint training saves in labels: all between shares is linear in log2 of the share.

    Args:
        alone: share of the labelled examples -> metric of the task's own network.
        joint: the same shares -> metric of joint training.
        higher_is_better: the metric's direction.

    Returns:
        None for both figures where a value is not finite.

    Raises:
        UserError: where the shares differ, are not above 0, or do not reach 1, which is all labels.

    Example:
        >>> label_curve({0.5: 2.0, 1.0: 1.0}, {0.5: 1.0, 1.0: 0.5}, higher_is_better=False)
        LabelCurve(equal_share=0.5, mean_gain=0.5)
    """
    shares = sorted(alone)
    if shares != sorted(joint):
        raise UserError(f"labels alone at shares {shares}, joint at {sorted(joint)}; expected the same shares.")
    if not shares or shares[0] <= 0 or shares[-1] != 1:
        raise UserError(f"labels at shares {shares}; expected shares above 0, the last of them 1: all labels.")
    if not all(map(math.isfinite, (*alone.values(), *joint.values()))):
        return LabelCurve(None, None)
    sign = -1 if higher_is_better else 1
    goal, equal = sign * alone[1.0], None
    logs = [math.log2(share) for share in shares]
    values = [sign * joint[share] for share in shares]
    for i, value in enumerate(values):
        if value <= goal:
            part = (values[i - 1] - goal) / (values[i - 1] - value) if i else 1.0
            equal = 2 ** (logs[i - 1] + part * (logs[i] - logs[i - 1])) if i else shares[0]
            break
    gains = [-worsening(joint[share], alone[share], higher_is_better) / 100 for share in shares]
    area = math.fsum((a + b) / 2 * (y - x) for a, b, x, y in zip(gains, gains[1:], logs, logs[1:], strict=False))
    known = len(shares) > 1 and not any(map(math.isnan, gains))
    return LabelCurve(equal, area / (logs[-1] - logs[0]) if known else None)
