"""Image files read with Pillow, and folders of them, with what is wrong with them told."""

import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, UnidentifiedImageError

from mtljax.errors import UserError, unknown


def decoded(file: pathlib.Path) -> Image.Image:
    """An image, decoded in full.

    Raises:
        UserError: where the file is missing or does not decode.
    """
    try:
        with Image.open(file) as image:
            image.load()
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise UserError(f"image {str(file)!r} does not decode: {error}.") from error
    return image


def colour(file: pathlib.Path) -> np.ndarray:
    """(h, w, 3) uint8, RGB.

    Raises:
        UserError: where the file is missing or does not decode.
    """
    return np.asarray(decoded(file).convert("RGB"))


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


def half_copied(kind: str, path: pathlib.Path, lacking: Sequence[str]) -> UserError:
    """The error for a folder that lacks files.

    Example:
        >>> print(half_copied("rgbd", pathlib.Path("a"), ["1.png", "2.png", "3.png", "4.png", "5.png"]))
        rgbd folder 'a' is half copied: it lacks 1.png, 2.png, 3.png and 2 more.
    """
    more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
    return UserError(f"{kind} folder {str(path)!r} is half copied: it lacks {', '.join(lacking[:3])}{more}.")


def missing_folder(kind: str, path: pathlib.Path) -> UserError:
    """The error for a folder that does not exist, with the nearest one beside it."""
    if path.parent.is_dir():
        siblings = [child.name for child in path.parent.iterdir() if child.is_dir()]
        if siblings:
            return unknown(f"{kind} folder in {str(path.parent)!r}:", path.name, siblings)
    return UserError(f"{kind} folder {str(path)!r} does not exist.")
