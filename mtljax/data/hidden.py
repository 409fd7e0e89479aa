"""A source that keeps some of its labels to itself: to measure what labels are worth."""

import hashlib
from collections.abc import Collection
from typing import SupportsIndex

import numpy as np

from mtljax.data.dataset import Example, Source
from mtljax.data.meanings import labels_of
from mtljax.data.shares import Within
from mtljax.errors import UserError

_PLACES = ("frame_index", "sequence")  # no labels to learn from
_WITH = {"instances": ("objects_valid", "segmentations")}  # what tells of a label as well


class Hidden(Within):
    """Hides each label of each example independently, with one probability.

    What is hidden depends on (seed, index, label) alone: it is the same in every epoch, on every host and after every
    resumption. A source with a method `original(index)` that tells of several indices that they show one example, such
    as that of `mix`, has the labels hidden that are hidden at this index. The image, `camera`, `frame_index` and
    `sequence` stay. With `instances` goes that all are listed, `objects_valid`, and their map.

    Args:
        source: of examples.
        share: the probability, from 0 to below 1.
        seed: of what is hidden.
        shown: labels that stay as well.

    Raises:
        UserError: for a share that cannot be.

    Example:
        >>> class Depths(list):
        ...     def __getitem__(self, index):
        ...         return {"depth": np.ones((1, 2, 2, 1)), "depth_valid": np.ones((1, 2, 2, 1), bool)}
        >>> source = Hidden(Depths(range(1000)), share=0.3, seed=0)
        >>> print(round(sum(not source[i]["depth_valid"].any() for i in range(1000)) / 1000, 1))
        0.3
    """

    def __init__(self, source: Source, share: float, seed: int, shown: Collection[str] = ()) -> None:
        if not 0 <= share < 1:
            raise UserError(f"the share of hidden labels is {share}; expected from 0 to below 1.")
        self._source, self._share, self._seed = source, share, seed
        self._shown = {*_PLACES, *shown}
        self._original = getattr(source, "original", int)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: SupportsIndex) -> Example:
        example = dict(self._source[index])
        place = self._original(int(index))
        for label in labels_of(example):
            if label not in self._shown and self._hides(place, label):
                for key in (label, f"{label}_valid", *_WITH.get(label, ())):
                    # The values of `instances` are covered by their mask.
                    if key in example and not isinstance(example[key], dict):
                        example[key] = np.zeros_like(example[key])
        return example

    def _hides(self, index: int, label: str) -> bool:
        digest = hashlib.sha256(f"{self._seed}/{index}/{label}".encode()).digest()
        return int.from_bytes(digest[:8], "little") / 2**64 < self._share
