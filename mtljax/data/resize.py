"""Examples at another size, with labels that stay true."""

from collections.abc import Mapping
from typing import Any

from mtljax.data.dataset import KINDS, Example
from mtljax.data.window import Window, shown
from mtljax.errors import UserError


def resized(example: Example, size: tuple[int, int], kinds: Mapping[str, str] = KINDS) -> Example:
    """An example at another height and width.

    Images are averaged over areas where they shrink and interpolated (bilinear) where they grow. Dense labels and
    their masks, which are all arrays with the image's first three axes, take the nearest pixel, but `edge`: there an
    edge is what covers one. Flow is scaled as well, and so are the camera's intrinsics. Depths and normals stay what
    they are, since the camera has not moved. Of `instances`, boxes and visibility are told again by `segmentations`, or
    bounded where there is none.

    Args:
        example: with `image` (s, H, W, C).
        size: (height, width).
        kinds: of labels, as `mtljax.data.kinds.kinds_of` gives them.

    Returns:
        The example with `image` (s, *size, C); the same one where it has that size.

    Raises:
        UserError: for a size that is no pair of positive whole numbers.

    Example:
        >>> import numpy as np
        >>> example = {"image": np.zeros((1, 4, 6, 3), np.uint8), "forward_flow": np.ones((1, 4, 6, 2), np.float32)}
        >>> smaller = resized(example, (2, 2))
        >>> print(smaller["image"].shape, smaller["forward_flow"][0, 0, 0])
        (1, 2, 2, 3) [0.33333334 0.5       ]
    """
    size = checked_size(size)
    height, width = example["image"].shape[1:3]
    if (height, width) == size:
        return example
    return shown(example, Window(0, 0, height, width, size), kinds)


def checked_size(size: Any) -> tuple[int, int]:
    """The size as a tuple.

    Raises:
        UserError: where it is no pair of positive whole numbers.
    """
    if not isinstance(size, tuple | list) or len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in size):
        raise UserError(f"size={size!r}: expected (height, width) in pixels.")
    return size[0], size[1]
