"""Augmentations one after the other."""

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from mtljax.data.augment.augmentation import Augmentation
from mtljax.data.dataset import Example
from mtljax.errors import UserError


def compose(*augmentations: Augmentation) -> Augmentation:
    """Augmentations one after the other, in the order given, on one generator.

    Raises:
        UserError: where one is no augmentation.

    Example:
        >>> from mtljax.data import augment
        >>> both = augment.compose(augment.flip(p=1.0), augment.crop(2, 3))
        >>> both({"image": np.zeros((1, 4, 4, 3), np.uint8)}, np.random.default_rng(0))["image"].shape
        (1, 2, 3, 3)
    """
    for one in augmentations:
        if not isinstance(one, Augmentation):
            name = getattr(one, "__name__", repr(one))
            raise UserError(f"compose(...): {name} is no augmentation; expected calls, such as compose(flip()).")
    text = f"compose({', '.join(one.text for one in augmentations)})"
    return Augmentation(text, functools.partial(_in_turn, augmentations), by_kind=True)


def _in_turn(
    augmentations: Sequence[Augmentation], example: Example, rng: np.random.Generator, kinds: Mapping[str, str]
) -> Example:
    for one in augmentations:
        example = one(example, rng, kinds)
    return example
