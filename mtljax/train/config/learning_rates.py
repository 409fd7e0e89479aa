"""Learning rates: those that cannot be meant are found before anything is trained, and all are told of as it goes."""

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

_NAME = "learning_rate"  # as optax's functions call it
_LOOKED_AT = 8  # steps of a run at which a schedule is looked at
_ROUNDING = 1e-6  # of its largest rate, that a schedule may be below 0
_TABLE = 1024  # updates whose rates are computed together


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


class Rates:
    """Learning rates after so many updates.

    Schedules are programs of JAX, which would wait on the device for the step that is on its way: so the rates of many
    updates are computed at once.

    Args:
        rates: group -> a number, or a schedule.

    Example:
        >>> Rates({"a": 0.5, "b": optax.linear_schedule(1.0, 0.0, 4)}).after(1)
        {'a': 0.5, 'b': 0.75}
    """

    def __init__(self, rates: Mapping[str, Any]) -> None:
        schedules = {group: rate for group, rate in rates.items() if callable(rate)}
        self._rates = rates
        self._begin: int | None = None
        self._table: dict[str, np.ndarray] = {}
        self._compute = jax.jit(jax.vmap(lambda n: {g: jnp.asarray(s(n), float) for g, s in schedules.items()}))

    def after(self, updates: int) -> dict[str, float]:
        """Group -> its rate."""
        begin, at = updates - updates % _TABLE, updates % _TABLE
        if begin != self._begin:
            counts = jax.device_put(np.arange(begin, begin + _TABLE, dtype=np.int32))
            self._begin, self._table = begin, jax.device_get(self._compute(counts))
        return {g: float(self._table[g][at] if g in self._table else rate) for g, rate in self._rates.items()}
