"""Image files read with Pillow, with what is wrong with them told."""

import contextlib
import os
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFile, ImageOps

from mtljax.errors import UserError

STORED = "stored"  # key of an image's `info`: how its file holds the values, in Pillow's words
_DAMAGED = (SyntaxError, ValueError)  # what Pillow has for EXIF data that it cannot read
_BITS = {"1": 1, "L;2": 2, "L;4": 4}
_WIDE = ("I;16", "I;16B", "I;16L", "I")
_PLAIN = ("RGB", "L", "1", "P", "CMYK", "YCbCr")
_ALPHA = ("RGBA", "LA", "PA")


def decoded(file: pathlib.Path) -> Image.Image:
    """An image, decoded in full, and turned and mirrored as its EXIF data say that it is to be seen.

    Where these are damaged, it stays as it is stored.

    Raises:
        UserError: where the file is missing or does not decode.
    """
    try:
        with Image.open(file) as image:
            stored = _stored(image)
            image.load()
            with contextlib.suppress(*_DAMAGED):
                ImageOps.exif_transpose(image, in_place=True)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"image {str(file)!r} does not decode: {error}.") from error
    image.info[STORED] = stored
    return image


def _stored(image: ImageFile.ImageFile) -> str:
    how = image.tile[0][3] if image.tile else None
    how = how[0] if isinstance(how, tuple) and how else how
    return how if isinstance(how, str) else image.mode


def colour(file: pathlib.Path) -> np.ndarray:
    """(h, w, 3) uint8, RGB. Grey is repeated, and of grey of 16 bits the upper eight are taken.

    Raises:
        UserError: where the file is missing or does not decode, where a pixel is transparent, and where the numbers in
            it are floats, or beyond 16 bits, so that black and white are not known.
    """
    return colour_of(decoded(file), file)


def colour_of(image: Image.Image, file: str | os.PathLike) -> np.ndarray:
    """The colours of a decoded image, as `colour` has them of a file, whose name, or what stands for it, is told."""
    with contextlib.suppress(*_DAMAGED):
        image = ImageOps.exif_transpose(image)
    if not _is_opaque(image):
        raise UserError(
            f"image {str(file)!r} has transparent pixels, whose colour is not known; expected an opaque one: draw it "
            "on a background."
        )
    if image.mode in _WIDE:
        return np.repeat(_upper_bytes(file, image)[..., None], 3, axis=-1)
    if image.mode not in (*_PLAIN, *_ALPHA):
        raise UserError(
            f"image {str(file)!r} has mode {image.mode}, in which black and white are no known numbers; expected 8 or "
            "16 bits a channel."
        )
    if "transparency" in image.info or image.mode in _ALPHA:
        image = image.convert("RGBA")
    return np.asarray(image.convert("RGB"))


def read_image(file: str | os.PathLike) -> np.ndarray:
    """The `image` of an example, (1, H, W, 3) uint8, of a file as `colour` reads it.

    Raises:
        UserError: for what `colour` refuses.

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp(), "grey.png")
        >>> Image.fromarray(np.full((2, 4), 9, np.uint8)).save(file)
        >>> read_image(file).shape
        (1, 2, 4, 3)
    """
    return colour(pathlib.Path(file))[None]


def _is_opaque(image: Image.Image) -> bool:
    transparent = image.info.get("transparency")
    if image.mode in _WIDE:
        return transparent is None or not (np.asarray(image) == transparent).any()
    if transparent is None and image.mode not in _ALPHA:
        return True
    return bool(np.asarray(image.convert("RGBA"))[..., 3].min() == 255)


def _upper_bytes(file: str | os.PathLike, image: Image.Image) -> np.ndarray:
    """(h, w) uint8 of grey of 16 bits, as Pillow reads colours of 16 bits."""
    values = grey_of_16_bits(file, image)
    if 0 < values.max() < 256:
        raise UserError(
            f"image {str(file)!r} is grey of 16 bits but holds nothing above {values.max()}, of 65535: it would be "
            "black. If these are numbers of 8 bits, store them as such."
        )
    return (values >> 8).astype(np.uint8)


def grey_of_16_bits(file: str | os.PathLike, image: Image.Image) -> np.ndarray:
    """The values of a decoded image whose mode is that of grey of 16 bits or more: (h, w) int32.

    Raises:
        UserError: where they are not from 0 to 65535.
    """
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise UserError(
            f"image {str(file)!r} holds numbers from {values.min()} to {values.max()}; expected 16 bits: 0 to 65535."
        )
    return values.astype(np.int32)


def grey16(file: pathlib.Path, meaning: str, kind: str = "image") -> np.ndarray:
    """The values of a grey image of 16 bits: (h, w) int32.

    Args:
        file: of the image.
        meaning: of its values, for messages.
        kind: of image, likewise.

    Raises:
        UserError: where the file does not decode, or is another kind of image.
    """
    image = decoded(file)
    if image.mode not in _WIDE:
        raise UserError(f"{kind} {str(file)!r} has mode {image.mode}; expected 16 bit grey: {meaning}.")
    return grey_of_16_bits(file, image)


def class_ids(
    file: pathlib.Path, kind: str = "label image", expected: str = "8 bit grey: a class of each pixel"
) -> np.ndarray:
    """The classes that a label image holds: (h, w) int32, its grey values of 8 bits or its indices into a palette.

    Args:
        file: of the image.
        kind: of image, for messages.
        expected: for messages.

    Raises:
        UserError: where the file does not decode, and where a class is not certain: other modes; grey of 1, 2 or 4
            bits, whose values programs also read as shares of 255; a palette of greys in another order, in which
            index and grey differ; a format that loses values.
    """
    image = decoded(file)
    stored, expected = image.info[STORED], f"expected {expected}, or a palette of colours"
    if image.format in ("JPEG", "MPO"):
        raise UserError(f"{kind} {str(file)!r} is a {image.format}, which does not keep classes; expected a PNG.")
    if image.mode == "P":
        if _is_grey_and_reordered(image):
            raise UserError(
                f"{kind} {str(file)!r} has a palette of greys in an order of its own: whether a class is the index or "
                f"the grey cannot be told; {expected}."
            )
    elif stored in _BITS:
        raise UserError(
            f"{kind} {str(file)!r} is grey of {_BITS[stored]} bit: whether classes are its values, or these as shares "
            f"of 255, cannot be told; {expected}."
        )
    elif image.mode != "L":
        raise UserError(f"{kind} {str(file)!r} has mode {image.mode}; {expected}.")
    return np.asarray(image).astype(np.int32)


def _is_grey_and_reordered(image: Image.Image) -> bool:
    palette = np.array(image.getpalette("RGB"), np.int64).reshape(-1, 3)
    grey = (palette == palette[:, :1]).all()
    used = np.unique(np.asarray(image))
    return bool(grey) and not np.array_equal(palette[used[used < len(palette)], 0], used)


def must_fit(kind: str, file: pathlib.Path, label: np.ndarray, image: np.ndarray) -> None:
    """Checks that a label has its image's height and width.

    Raises:
        UserError: where it has not.

    Example:
        >>> must_fit("depth map", pathlib.Path("a.png"), np.zeros((2, 4)), np.zeros((3, 4, 3)))
        Traceback (most recent call last):
        mtljax.errors.UserError: depth map 'a.png' is 4 x 2 pixels; its image is 4 x 3.
    """
    if label.shape[:2] != image.shape[:2]:
        raise UserError(
            f"{kind} {str(file)!r} is {label.shape[1]} x {label.shape[0]} pixels; "
            f"its image is {image.shape[1]} x {image.shape[0]}."
        )


def stacked(shots: Sequence[dict[str, np.ndarray]], where: pathlib.Path) -> dict[str, np.ndarray]:
    """The frames of a clip, stacked along a new first axis.

    Raises:
        UserError: where their images differ in size.
    """
    sizes = {shot["image"].shape for shot in shots}
    if len(sizes) > 1:
        raise UserError(f"frames of {str(where)!r} differ in size: {sorted(sizes)}.")
    return {key: np.stack([shot[key] for shot in shots]) for key in shots[0]}
