"""Data sets and sources that read an example from what is listed: a file, a row of a table, a clip of frames."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, SupportsIndex

import jax
import numpy as np

from mtljax.data.dataset import Example, Source, checked_split
from mtljax.data.meanings import Meaning


@dataclasses.dataclass(frozen=True)
class Folder:
    """A data set with the splits `train` and `validation`, of files that a function lists and another one reads.

    For worker processes, sources pickle where what `items` gives does and `read` is a function of a module, or
    `functools.partial` of one. `mtljax.data.check` tells whether the examples are as they should be.

    Attributes:
        name: for messages and tables.
        items: name of a split -> what each of its examples is read from: a file, a row of a table, a clip of frames.
        read: such an item -> the example.
        meanings: of its labels, see `DataSet`.
        cache_mb: as `Files` has it.

    Example:
        >>> import numpy as np
        >>> from mtljax import data
        >>> def shades(split):
        ...     return range(8) if split == "train" else range(8, 10)
        >>> def read(shade):
        ...     return {"image": np.full((1, 4, 6, 3), 25 * shade, np.uint8), **data.label("shade", shade)}
        >>> greys = Folder("greys", shades, read, {"shade": tuple(map(str, range(10)))})
        >>> data.check(greys)
        >>> len(greys.split("train")), greys.split("validation")[0]["shade"]
        (8, array(8, dtype=int32))
    """

    name: str
    items: Callable[[str], Sequence[Any]]
    read: Callable[[Any], Example]
    meanings: Mapping[str, Meaning] = dataclasses.field(default_factory=dict)
    cache_mb: int = 0

    def split(self, name: str) -> Source:
        """The examples of `train` or `validation`.

        Raises:
            UserError: for an unknown split, or a folder that is missing, empty, half copied or malformed.
        """
        return Files(tuple(self.items(checked_split(self.name, name))), self.read, self.cache_mb)


@dataclasses.dataclass(frozen=True)
class Files:
    """A source of examples, each read from an item of a list when it is asked for.

    Attributes:
        items: what each example is read from.
        read: such an item -> the example.
        cache_mb: megabytes of examples that are kept once they are read, and given again; their arrays are not to be
            written to.

    Example:
        >>> squares = Files([1, 2, 3], lambda item: {"image": item**2})
        >>> len(squares), squares[2]
        (3, {'image': 9})
    """

    items: Sequence[Any]
    read: Callable[[Any], Example]
    cache_mb: int = 0

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: SupportsIndex) -> Example:
        number = int(index)
        if not 0 <= number < len(self):
            raise IndexError(index)
        if number in self._kept.examples:
            return dict(self._kept.examples[number])
        example = self.read(self.items[number])
        if self.cache_mb:
            self._kept.add(number, example, self.cache_mb)
        return example

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @functools.cached_property
    def _kept(self) -> "_Kept":
        return _Kept()


class _Kept:
    """Examples by their index."""

    def __init__(self) -> None:
        self.examples: dict[int, Example] = {}
        self._bytes = 0

    def add(self, index: int, example: Example, megabytes: int) -> None:
        """Keeps an example where there is room for it."""
        arrays = [leaf for leaf in jax.tree.leaves(example) if isinstance(leaf, np.ndarray)]
        size = sum(array.nbytes for array in arrays)
        if self._bytes + size > megabytes * 1e6:
            return
        for array in arrays:
            array.setflags(write=False)
        self._bytes += size
        self.examples[index] = dict(example)
