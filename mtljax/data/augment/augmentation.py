"""What an augmentation is, and checks of its arguments."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from mtljax.data.dataset import KINDS, Example
from mtljax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """A pure function of an example and a generator.

    Attributes:
        text: how it was called, for messages.
        apply: the function; it pickles, so that worker processes can have it.
        by_kind: whether it takes the kinds of labels as a third argument, as `mtljax.data.kinds.kinds_of` gives them.
    """

    text: str
    apply: Callable[..., Example]
    by_kind: bool = False

    def __call__(self, example: Example, rng: np.random.Generator, kinds: Mapping[str, str] = KINDS) -> Example:
        """The augmented example; the one given stays as it is."""
        return self.apply(example, rng, kinds) if self.by_kind else self.apply(example, rng)


def checked(call: str, name: str, value: float, low: float, high: float) -> float:
    """A number from `low` to `high`.

    Raises:
        UserError: where it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        wanted = f"at least {low:g}" if np.isinf(high) else f"from {low:g} to {high:g}"
        raise UserError(f"{call}({name}={value!r}): expected a number {wanted}.")
    return value


def checked_size(call: str, height: int, width: int) -> tuple[int, int]:
    """A size in pixels.

    Raises:
        UserError: where it is none.
    """
    for side in (height, width):
        if isinstance(side, bool) or not isinstance(side, int) or side < 1:
            raise UserError(f"{call}({height!r}, {width!r}): expected height and width in whole pixels, at least 1.")
    return height, width
