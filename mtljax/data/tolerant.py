"""A source of which a few records may be unreadable."""

import sys
import threading
from typing import Any, SupportsIndex

import numpy as np

from mtljax.data.dataset import Example, Source
from mtljax.data.shares import Within
from mtljax.errors import UserError


class Tolerant(Within):
    """Puts an example without labels in the place of a record that cannot be read, and tells of it once.

    The place is filled with the next readable record, all of whose masks are False, so that every other example keeps
    its position, in every epoch and after every resumption. A copy in another process counts for itself.

    Args:
        source: of examples; raises `UserError` for a record that it cannot read.
        share: of its records that may be unreadable; one more raises that record's error.

    Example:
        >>> class Damaged(list):
        ...     def __getitem__(self, index):
        ...         if index == 3:
        ...             raise UserError("record 3 does not decode.")
        ...         return {"depth": np.ones(2), "depth_valid": np.ones(1, bool)}
        >>> source = Tolerant(Damaged(range(200)), share=0.01)
        >>> source[3]["depth_valid"], source.unreadable
        (array([False]), 1)
    """

    def __init__(self, source: Source, share: float) -> None:
        self._source = source
        self._allowed = int(share * len(source))
        self._found: set[int] = set()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state | {"_lock": threading.Lock()}

    @property
    def unreadable(self) -> int:
        """Records found so far that cannot be read."""
        return len(self._found)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: SupportsIndex) -> Example:
        example, place = None, int(index)
        while example is None:
            try:
                example = self._source[place % len(self)]
            except UserError as error:
                self._note(place % len(self), error)  # raises, before all have been tried
                place += 1
        if place == int(index):
            return example
        return example | {k: np.zeros_like(v) for k, v in example.items() if k.endswith("_valid")}

    def _note(self, index: int, error: UserError) -> None:
        with self._lock:
            new = index not in self._found
            self._found.add(index)
            if len(self._found) > self._allowed:
                raise error
        if new:
            print(f"left out: {error} ({len(self._found)} of {len(self)} records so far)", file=sys.stderr, flush=True)
