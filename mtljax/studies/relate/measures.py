"""The measures of how tasks are related, as call-strings with ; between them: `'transfer(order=2);networks()'`."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from mtljax.errors import UserError, unknown
from mtljax.train.config.callstring import resolve


@dataclasses.dataclass(frozen=True)
class Transfer:
    """How well a frozen encoder of one task serves another (Taskonomy).

    Attributes:
        order: of how many encoders features are concatenated, at most.
        readout: keys of the config that are other in the training of a readout, such as `{'steps': 100}` or
            `{'tasks.depth': 'depth(width=8)'}`; a readout is the head of its target.
        share: of the training examples that readouts see.
    """

    order: int = 1
    readout: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    share: float = 1 / 8

    def __post_init__(self) -> None:
        _whole("transfer", "order", self.order, 1)
        _share("transfer", "share", self.share, 1)
        if not isinstance(self.readout, Mapping) or not all(isinstance(key, str) for key in self.readout):
            raise UserError(f"transfer(readout={self.readout!r}): expected keys of the config, as {{'steps': 100}}.")


@dataclasses.dataclass(frozen=True)
class Networks:
    """Which networks to train under a budget (Standley et al.): sets of tasks, and networks of half the FLOPs for one.

    Attributes:
        sets: `all` sets of tasks; or `pairs`, with every task alone and all together.
        early: share of the steps after which losses are looked at for ESA.
        half: model of half the FLOPs, as a call-string; by default the config's with every `width` made smaller.
    """

    sets: str = "all"
    early: float = 0.2
    half: str = ""

    def __post_init__(self) -> None:
        if self.sets not in ("all", "pairs"):
            raise unknown("sets of networks(sets=...):", str(self.sets), ["all", "pairs"])
        _share("networks", "early", self.early, 1)


@dataclasses.dataclass(frozen=True)
class Lookahead:
    """What a step on one task's loss does to another's, in one run of all tasks (TAG).

    Attributes:
        every: steps between looks.
    """

    every: int = 10

    def __post_init__(self) -> None:
        _whole("lookahead", "every", self.every, 1)


@dataclasses.dataclass(frozen=True)
class Surrogate:
    """Losses of all sets of tasks, from a linear fit on those of random ones (Li, Nguyen and Zhang).

    Attributes:
        sets: how many random sets of two tasks or more are trained.
    """

    sets: int = 8

    def __post_init__(self) -> None:
        _whole("surrogate", "sets", self.sets, 1)


@dataclasses.dataclass(frozen=True)
class Covariance:
    """How tasks vary together, from the weights of their heads' last layers in the network of all tasks."""


Measure = Transfer | Networks | Lookahead | Surrogate | Covariance
MEASURES: dict[str, type] = {
    one.__name__.lower(): one for one in (Transfer, Networks, Lookahead, Surrogate, Covariance)
}


def measures_of(text: str) -> dict[str, Measure]:
    """Name -> measure, of call-strings with ; between them, in the order of `MEASURES`.

    Raises:
        UserError: for an unknown name or argument, one that is named twice, or none.

    Example:
        >>> measures_of("networks(sets='pairs'); transfer(order=2)")["transfer"].order
        2
        >>> measures_of("lookahed()")
        Traceback (most recent call last):
        mtljax.errors.UserError: unknown measure (--relations) 'lookahed'; did you mean 'lookahead'? Known: ...
    """
    found: dict[str, Measure] = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        measure = resolve(part, MEASURES, kind="measure (--relations)")
        name = type(measure).__name__.lower()
        if name in found:
            raise UserError(f"--relations names {name!r} twice.")
        found[name] = measure
    if not found:
        raise UserError(
            "--relations is empty; expected measures with ; between them, such as 'transfer();networks();lookahead()'."
        )
    return {name: found[name] for name in MEASURES if name in found}


def as_texts(measures: Mapping[str, Measure]) -> list[str]:
    """Call-strings of measures, which `measures_of` reads."""
    given = ((name, ", ".join(f"{k}={v!r}" for k, v in vars(one).items())) for name, one in measures.items())
    return [f"{name}({arguments})" for name, arguments in given]


def budgets_of(text: str | None) -> list[float]:
    """Budgets, ; between them, ascending; the FLOPs of a network of full size are 1.

    Raises:
        UserError: where one of them is no number above 0.

    Example:
        >>> budgets_of("2; 1"), budgets_of(None)
        ([1.0, 2.0], [1.0, 1.5, 2.0, 3.0])
    """
    parts = [part.strip() for part in ("1;1.5;2;3" if text is None else text).split(";") if part.strip()]
    return sorted({_number("--budgets", part) for part in parts}) or budgets_of(None)


def importance_of(text: str | None, tasks: Mapping[str, Any]) -> dict[str, float]:
    """Task -> its importance, 1 where it is not named, from `'depth=2;edges=0.5'`.

    Raises:
        UserError: for a task that is not there, or a number that is negative or none.

    Example:
        >>> importance_of("depth=2", {"depth": "", "edges": ""})
        {'depth': 2.0, 'edges': 1.0}
    """
    found = dict.fromkeys(tasks, 1.0)
    for part in filter(None, map(str.strip, (text or "").split(";"))):
        task, equals, number = map(str.strip, part.partition("="))
        if not equals:
            raise UserError(f"--importance: {part!r}; expected 'task=number', with ; between them.")
        if task not in tasks:
            raise unknown("task with an importance (--importance):", task, tasks)
        found[task] = _number(f"--importance of {task!r}", number, zero=True)
    if not any(found.values()):
        raise UserError("--importance: all tasks have 0; expected one above 0.")
    return found


def _number(what: str, text: str, *, zero: bool = False) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 0 <= number < float("inf") or (number == 0 and not zero):
        raise UserError(f"{what}: {text!r}; expected a number {'of 0 or more' if zero else 'above 0'}.")
    return number


def _whole(name: str, argument: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UserError(f"{name}({argument}={value!r}): expected a whole number, {least} or more.")


def _share(name: str, argument: str, value: Any, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise UserError(f"{name}({argument}={value!r}): expected a share, above 0 and at most {most:g}.")
