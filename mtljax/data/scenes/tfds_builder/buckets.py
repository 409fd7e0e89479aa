"""What TFDS puts aside of more than a gigabyte that it shuffles, in files of Python's: its own want TensorFlow."""

import contextlib
import os
import pathlib
import pickle
from collections.abc import Iterator
from typing import Any, BinaryIO

from tensorflow_datasets.core import shuffle


class Bucket:
    """Examples with their keys in a file, as `tensorflow_datasets.core.shuffle` wants them.

    Args:
        path: of the file, made when the first example comes.

    Example:
        >>> import tempfile
        >>> bucket = Bucket(pathlib.Path(tempfile.mkdtemp(), "bucket"))
        >>> bucket.add(7, b"seven")
        >>> list(bucket.read_values()), len(bucket), bucket.size
        ([(7, b'seven')], 1, 5)
    """

    def __init__(self, path: Any) -> None:
        self._path, self._number, self.size = pathlib.Path(os.fspath(path)), 0, 0
        self._file: BinaryIO | None = None

    def __len__(self) -> int:
        return self._number

    def add(self, key: int, data: bytes) -> None:
        """Appends an example."""
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("wb")
        pickle.dump((key, data), self._file)
        self._number += 1
        self.size += len(data)

    def flush(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()

    def read_values(self) -> Iterator[tuple[int, bytes]]:
        """The examples in the order in which they came."""
        self.flush()
        if self._number:
            with self._path.open("rb") as file:
                for _ in range(self._number):
                    yield pickle.load(file)

    def del_file(self) -> None:
        """Removes the file."""
        self.flush()
        self._path.unlink(missing_ok=True)


@contextlib.contextmanager
def plain_buckets() -> Iterator[None]:
    """While it is open, TFDS puts aside what it shuffles in files of Python's."""
    before = shuffle._Bucket
    setattr(shuffle, "_Bucket", Bucket)  # noqa: B010 - the name that TFDS makes them by; there is no other way in
    try:
        yield
    finally:
        setattr(shuffle, "_Bucket", before)  # noqa: B010
