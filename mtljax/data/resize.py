"""Examples at another size, with labels that stay true. NumPy and Pillow."""

from typing import Any

import numpy as np
from PIL import Image

from mtljax.data.dataset import Example
from mtljax.errors import UserError


def resized(example: Example, size: tuple[int, int]) -> Example:
    """An example at another height and width.

    Images are averaged over areas where they shrink and interpolated (bilinear) where they grow. Dense labels and
    their masks, which are all arrays with the image's first three axes, take the nearest pixel; flow is scaled as well,
    and so are the camera's intrinsics. Depths and normals stay what they are, since the camera has not moved. Of
    `instances`, boxes stay true (they are shares of the image); `visibility` goes on counting pixels of the first size.

    Args:
        example: with `image` (s, H, W, C).
        size: (height, width).

    Returns:
        The example with `image` (s, *size, C); the same one where it has that size.

    Raises:
        UserError: for a size that is no pair of positive whole numbers.

    Example:
        >>> example = {"image": np.zeros((1, 4, 6, 3), np.uint8), "forward_flow": np.ones((1, 4, 6, 2), np.float32)}
        >>> smaller = resized(example, (2, 2))
        >>> print(smaller["image"].shape, smaller["forward_flow"][0, 0, 0])
        (1, 2, 2, 3) [0.33333334 0.5       ]
    """
    checked_size(size)
    before = example["image"].shape[:3]
    if before[1:] == tuple(size):
        return example
    scale = np.array([size[1] / before[2], size[0] / before[1]], np.float32)  # of x and y
    result = dict(example)
    for key, value in example.items():
        if key == "image":
            result[key] = _image(value, size)
        elif isinstance(value, np.ndarray) and value.ndim == 4 and value.shape[:3] == before:
            nearest = _nearest(value, size)
            result[key] = nearest * scale if key.endswith("_flow") else nearest
    if "camera" in example:
        k = example["camera"]["intrinsics"] * np.array([[scale[0]], [scale[1]], [1]], np.float32)
        result["camera"] = example["camera"] | {"intrinsics": k}
    return result


def checked_size(size: Any) -> tuple[int, int]:
    """The size as a tuple.

    Raises:
        UserError: where it is no pair of positive whole numbers.
    """
    if not isinstance(size, tuple | list) or len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in size):
        raise UserError(f"size={size!r}: expected (height, width) in pixels.")
    return size[0], size[1]


def _nearest(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(s, H, W, C) -> (s, *size, C): the pixel in which the centre of each new pixel lies."""
    rows, columns = (((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(size, label.shape[1:3], strict=True))
    return label[:, rows[:, None], columns]


def _image(frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    shrinks = size[0] <= frames.shape[1] and size[1] <= frames.shape[2]
    how = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR

    def channel(plane: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(plane).resize((size[1], size[0]), how))

    planes = [[channel(np.ascontiguousarray(frame[..., c])) for c in range(frame.shape[-1])] for frame in frames]
    return np.moveaxis(np.array(planes, frames.dtype), 1, -1)
