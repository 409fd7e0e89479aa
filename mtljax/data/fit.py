"""Examples of any size within one size: the image keeps its aspect, and black stands about it."""

from mtljax.data.dataset import Example
from mtljax.data.window import Window, shown


def fitted(example: Example, size: tuple[int, int]) -> Example:
    """An example within a height and width, as large as fits, in the middle.

    What stands about the image is black; no label is valid there, and it is no object. All else is as `resized` has it.

    Args:
        example: with `image` (s, H, W, C).
        size: (height, width).

    Returns:
        The example with `image` (s, *size, C).

    Example:
        >>> import numpy as np
        >>> wide = {"image": np.full((1, 2, 4, 3), 9, np.uint8)}
        >>> print(fitted(wide, (4, 4))["image"][0, :, 0, 0])
        [0 9 9 0]
    """
    height, width = example["image"].shape[1:3]
    step = max(height / size[0], width / size[1])  # pixels of the image for one that is shown
    tall, wide = size[0] * step, size[1] * step
    return shown(example, Window((height - tall) / 2, (width - wide) / 2, tall, wide, size))
