"""The whole image at another size."""

import functools
from collections.abc import Mapping

import numpy as np

from mtljax.data.augment.augmentation import Augmentation, checked_size
from mtljax.data.dataset import Example
from mtljax.data.resize import resized


def resize(height: int, width: int) -> Augmentation:
    """The whole image at another size. Nothing is drawn; intrinsics and flow follow, depth and normals are kept.

    Raises:
        UserError: for sizes that are none.

    Example:
        >>> flow = np.ones((1, 4, 4, 2), np.float32)
        >>> example = {"image": np.zeros((1, 4, 4, 3), np.uint8), "forward_flow": flow}
        >>> print(resize(8, 4)(example, np.random.default_rng(0))["forward_flow"][0, 0, 0])
        [1. 2.]
    """
    size = checked_size("resize", height, width)
    return Augmentation(f"resize({height}, {width})", functools.partial(_resized, size), by_kind=True)


def _resized(size: tuple[int, int], example: Example, rng: np.random.Generator, kinds: Mapping[str, str]) -> Example:
    return resized(example, size, kinds)
