"""Cameras: whether a calibration is of the pictures that it comes with, and the camera of a picture without a pose."""

import numpy as np

from mtljax.errors import UserError

HALF_A_PIXEL = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])  # on intrinsics for pixel centres at integers
_CENTRAL = (0.25, 0.75)  # shares of a picture between which its camera's principal point is
_NEAR = (0.375, 0.625)  # and between which it is along one axis at least: a crop moves one, another size moves both


def must_be_of(image: np.ndarray, intrinsics: np.ndarray, file: str) -> None:
    """Checks that intrinsics are those of pictures of this size, by where they have the principal point.

    Pictures that were made smaller or larger on disk, beside the calibration of the former ones, have it off the
    middle by that factor along both axes. Factors from 0.8 to 1.33 cannot be told from a camera's own offset.

    Args:
        image: (..., H, W, C).
        intrinsics: (3, 3), for pixel centres at integers + 0.5.
        file: of the intrinsics, for the message.

    Raises:
        UserError: where they are not.

    Example:
        >>> must_be_of(np.zeros((8, 12, 3)), np.array([[9, 0, 12], [0, 9, 8], [0, 0, 1]]), "calib.txt")
        Traceback (most recent call last):
        mtljax.errors.UserError: 'calib.txt' is of another resolution than the images: its principal point is (12, 8)...
    """
    height, width = image.shape[-3:-1]
    x, y = intrinsics[:2, 2]
    shares = sorted((x / width, y / height))
    beyond = shares[0] < _CENTRAL[0] or shares[1] > _CENTRAL[1] or not np.isfinite(shares).all()
    if beyond or shares[1] < _NEAR[0] or shares[0] > _NEAR[1]:
        raise UserError(
            f"{file!r} is of another resolution than the images: its principal point is ({x:g}, {y:g}) for images of "
            f"{width} x {height} pixels; expected it in their middle half, and in the middle quarter along x or y."
        )


def still_camera(intrinsics: np.ndarray, frames: int = 1) -> dict[str, np.ndarray]:
    """The `camera` of images without poses: at the origin of its own frame, in all of the frames.

    Example:
        >>> print(still_camera(np.eye(3), frames=2)["quaternions"])
        [[1. 0. 0. 0.]
         [1. 0. 0. 0.]]
    """
    return {
        "positions": np.zeros((frames, 3), np.float32),
        "quaternions": np.tile(np.array([1, 0, 0, 0], np.float32), (frames, 1)),
        "intrinsics": intrinsics.astype(np.float32),
    }
