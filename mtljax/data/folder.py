"""Data sets and sources that read an example from what is listed: a file, a row of a table, a clip of frames."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, SupportsIndex

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

    def split(self, name: str) -> Source:
        """The examples of `train` or `validation`.

        Raises:
            UserError: for an unknown split, or a folder that is missing, empty, half copied or malformed.
        """
        return Files(tuple(self.items(checked_split(self.name, name))), self.read)


@dataclasses.dataclass(frozen=True)
class Files:
    """A source of examples, each read from an item of a list when it is asked for.

    Attributes:
        items: what each example is read from.
        read: such an item -> the example.

    Example:
        >>> squares = Files([1, 2, 3], lambda item: {"image": item**2})
        >>> len(squares), squares[2]
        (3, {'image': 9})
    """

    items: Sequence[Any]
    read: Callable[[Any], Example]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: SupportsIndex) -> Example:
        if not 0 <= int(index) < len(self):
            raise IndexError(index)
        return self.read(self.items[int(index)])
