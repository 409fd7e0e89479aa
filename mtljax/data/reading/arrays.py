"""Files of one NumPy array each, as papers share data that they have prepared."""

import pathlib

import numpy as np

from mtljax.errors import UserError


def numbered(kind: str, folder: pathlib.Path) -> list[pathlib.Path]:
    """The images `image/0.npy`, `image/1.npy`, ... of a folder, in the order of their numbers.

    Raises:
        UserError: where there are none.
    """
    found = sorted((folder / "image").glob("*.npy"), key=lambda f: (len(f.stem), f.stem))
    if not found:
        raise UserError(f"{kind} folder {str(folder)!r} has no images; expected files such as image/0.npy.")
    return found


def numbers(file: pathlib.Path, channels: int) -> np.ndarray:
    """The array (h, w, channels) of a file, or (h, w) for 0 channels: finite numbers.

    Raises:
        UserError: where the file cannot be read, or holds something else.
    """
    try:
        array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"array {str(file)!r} cannot be read: {error}.") from error
    shape = ("h", "w", channels) if channels else ("h", "w")
    if array.ndim != len(shape) or (channels and array.shape[-1] != channels) or array.dtype.kind not in "fiu":
        expected = ", ".join(map(str, shape))
        raise UserError(f"array {str(file)!r} is {array.dtype} {array.shape}; expected numbers ({expected}).")
    if not np.isfinite(array).all():
        raise UserError(f"array {str(file)!r} holds values that are not finite.")
    return array


def unit_range(file: pathlib.Path, image: np.ndarray) -> np.ndarray:
    """An image as stored in 8 bits, or float32 in [0, 1].

    Raises:
        UserError: for values beyond.
    """
    if image.dtype == np.uint8:
        return image
    if not (image.min() >= 0 and image.max() <= 1):
        raise UserError(f"image {str(file)!r} has values beyond [0, 1]: {image.min():g} .. {image.max():g}.")
    return image.astype(np.float32)
