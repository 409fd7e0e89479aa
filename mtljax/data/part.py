"""A source that shows only a part of its examples: to measure what examples are worth."""

import math
from typing import SupportsIndex

import numpy as np

from mtljax.data.dataset import Example, Source
from mtljax.data.shares import Within
from mtljax.errors import UserError

_PARTING = 0x9A47  # apart from other uses of the seed


class Part(Within):
    """Of a source's n examples the first `ceil(share * n)` in a random order; they keep the order of the source.

    The random order depends on the seed alone, so that a smaller part is a part of every larger one, on every host.
    Of a source with a method `original(index)`, such as that of `mix`, which shows some examples several times, the
    parts are of the different ones, each with all of its indices.

    Args:
        source: of examples.
        share: of its examples, above 0, at most 1.
        seed: of the order.
        rest: whether to show the others instead, those that the part leaves out.

    Raises:
        UserError: for a share that cannot be.

    Example:
        >>> small, large = (Part(range(100, 200), share, seed=0) for share in (0.1, 0.25))
        >>> len(small), len(large), {*small} <= {*large}
        (10, 25, True)
    """

    def __init__(self, source: Source, share: float, seed: int, *, rest: bool = False) -> None:
        if not 0 < share <= 1:
            raise UserError(f"the share of the examples is {share}; expected above 0, at most 1.")
        self._source = source
        self._of = getattr(source, "original", int)
        originals = np.array([self._of(index) for index in range(len(source))], int)
        different = np.unique(originals)
        number = math.ceil(round(share * len(different), 9))  # 0.07 of 100 are 7
        kept = np.random.default_rng([_PARTING, seed]).permutation(different)[:number]
        self._indices = np.flatnonzero(np.isin(originals, kept, invert=rest))

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: SupportsIndex) -> Example:
        return self._source[self.inner(int(index))]

    def inner(self, index: int) -> int:
        """The index in the source."""
        return int(self._indices[index])

    def original(self, index: int) -> int:
        """The index in the source that the example has, the first of them."""
        return self._of(self.inner(index))
