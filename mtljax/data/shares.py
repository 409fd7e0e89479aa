"""Shares of several sets in what a run is trained on: on average in a batch, or in every batch."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, SupportsIndex, cast

import numpy as np

from mtljax.data.dataset import Example, Source
from mtljax.errors import UserError, unknown


class _OfSets(Protocol):
    def set_of(self, index: int) -> int: ...


class Within:
    """A source that shows another's examples: it tells of their sets what that one does.

    Attributes:
        _source: the other.
    """

    _source: Source

    @property
    def shares(self) -> Sequence[float] | None:
        """Of each set, in proportion, what every batch holds; None where batches are drawn from all examples alike."""
        return getattr(self._source, "shares", None)

    def set_of(self, index: int) -> int:
        """The number of the set that an example is of."""
        return cast(_OfSets, self._source).set_of(self.inner(index))

    def inner(self, index: int) -> int:
        """The index of an example in the other source."""
        return index


def shuffled(source: Source, seed: int) -> Any:
    """A grain dataset of all examples in an order of its own each epoch, without end.

    Of a source whose `shares` are not None each set is shuffled and repeated by itself, and they take turns, so that
    any n examples in a row hold the share of each, to one example.

    Raises:
        UserError: where a set has no example.
    """
    import grain

    shares = getattr(source, "shares", None)
    if shares is None:
        return grain.MapDataset.source(source).seed(seed).shuffle().repeat()
    members = np.array([cast(_OfSets, source).set_of(index) for index in range(len(source))])
    sets = [_Some(source, np.flatnonzero(members == number)) for number in range(len(shares))]
    if not all(map(len, sets)):
        raise UserError(f"a set of {len(sets)} has no example left to train on; expected one of each for every batch.")
    seeds = [int(np.random.SeedSequence([seed, number]).generate_state(1)[0]) for number in range(len(sets))]
    turns = [grain.MapDataset.source(one).seed(own).shuffle().repeat() for one, own in zip(sets, seeds, strict=True)]
    return grain.MapDataset.mix(turns, weights=shares)


class _Some:
    """Some of a source's examples."""

    def __init__(self, source: Source, indices: np.ndarray) -> None:
        self._source, self._indices = source, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: SupportsIndex) -> Example:
        return self._source[int(self._indices[index])]


def check_ratio(ratio: Any, sets: Mapping[str, Any]) -> None:
    """Raises `UserError` for what is no positive number of each set."""
    if not isinstance(ratio, Mapping):
        raise UserError(f"mix(ratio={ratio!r}): expected a number for each of {', '.join(sets)}.")
    for key, value in ratio.items():
        if key not in sets:
            raise unknown("set in the ratio of mix:", str(key), sets)
        if not positive(value):
            raise UserError(f"mix(ratio={{{key!r}: {value!r}}}): expected a number above 0.")
    lacking = [key for key in sets if key not in ratio]
    if lacking:
        raise UserError(f"mix(ratio={dict(ratio)!r}): expected a number for {', '.join(lacking)} too.")


def positive(value: Any) -> bool:
    """Whether it is a finite number above 0."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
