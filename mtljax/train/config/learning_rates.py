"""Whether an optimiser goes downhill: learning rates that cannot be meant, found before anything is trained."""

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optax

_NAME = "learning_rate"  # as optax's functions call it
_LOOKED_AT = 8  # steps of a run at which a schedule is looked at
_ROUNDING = 1e-6  # of its largest rate, that a schedule may be below 0


def check_learning_rate(function: str, given: Mapping[str, Any], steps: int) -> bool:
    """Looks at the learning rate among a call's arguments, if there is one.

    Args:
        function: what is called, for messages.
        given: its arguments by their names.
        steps: of the run; a schedule is looked at from 0 to steps - 1.

    Returns:
        Whether there is one.

    Raises:
        ValueError: for one that is negative or not finite, or no number and no schedule.

    Example:
        >>> check_learning_rate("adam", {"learning_rate": 1e-3}, steps=10)
        True
        >>> check_learning_rate("adam", {"learning_rate": -1e-3}, steps=10)
        Traceback (most recent call last):
        ValueError: adam(learning_rate=-0.001) climbs: expected a finite number of at least 0, or a schedule of such
    """
    rate = given.get(_NAME)
    if rate is None or given.get("flip_sign") is False:
        return False
    wanted = "expected a finite number of at least 0, or a schedule of such"
    if callable(rate):
        _check_schedule(function, rate, steps)
    elif isinstance(rate, bool) or not isinstance(rate, int | float):
        raise ValueError(f"{function}({_NAME}={rate!r}): {wanted}")
    elif not math.isfinite(rate):
        raise ValueError(f"{function}({_NAME}={rate:g}): {wanted}")
    elif rate < 0:
        raise ValueError(f"{function}({_NAME}={rate:g}) climbs: {wanted}")
    return True


def _check_schedule(function: str, schedule: Callable[[int], Any], steps: int) -> None:
    at = np.unique(np.linspace(0, steps - 1, _LOOKED_AT).astype(int))
    rates = [float(schedule(int(step))) for step in at]
    least = -_ROUNDING * max(map(abs, rates))
    for step, rate in zip(at, rates, strict=True):
        if not rate >= least or math.isinf(rate):
            raise ValueError(
                f"the schedule of {function}() gives the learning rate {rate:g} at step {step} of {steps}; expected "
                "finite numbers of at least 0"
            )


def climbs(transform: optax.GradientTransformation) -> bool:
    """Whether three updates of made numbers follow the gradient, rather than go against it.

    What cannot be tried so, since it wants more than gradients and parameters, is not said to climb.

    Example:
        >>> climbs(optax.chain(optax.scale_by_adam(), optax.scale(1e-3))), climbs(optax.sgd(0.1))
        (True, False)
    """
    params, gradient = np.ones(2, np.float32), np.array([1.0, -1.0], np.float32)
    along = 0.0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = transform.init(params)
            for _ in range(3):
                update, state = transform.update(gradient, state, params)
                along += float(np.sum(np.asarray(update) * gradient))
    except Exception:  # of whatever kind: it could not be tried
        return False
    return along > 0
